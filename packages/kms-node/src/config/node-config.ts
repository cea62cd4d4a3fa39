import { join, resolve } from 'node:path'
import { PROTOCOL_TIMINGS } from '@tkms/dkg'
import { majority } from '../chain/agreement.ts'
import { DEFAULT_RETIREMENT } from '../keys/life.ts'
import { DEFAULT_STARTUP_WAIT_MS } from '../keys/startup-check.ts'
import { DEFAULT_SCRYPT } from '../seal/passphrase-sealer.ts'
import { attestationProblems, resolveAttestation } from './attestation.ts'
import { overlayEnvironment, schemaProblems } from './environment.ts'
import { nodeConfigSchema } from './schema.ts'
import type { NodeConfig, NodeConfigFile, SealerConfig } from './types.ts'
import { configError, readYamlFile } from './yaml-file.ts'

export const NODE_CONFIG_FILE = 'node.yaml'
const NO_NODE = ': is the data directory right (--data-dir), and init done?'

export interface NodeConfigSource {
  /** The directory of node.yaml; relative paths in it start here. */
  readonly directory: string
  /** TKMS_ variables override the file: TKMS_HTTP_PORT is http.port, TKMS_LISTEN is listen, separated by commas. */
  readonly env: Readonly<Record<string, string | undefined>>
}

/**
 * Reads node.yaml. Unknown keys are refused and all problems reported at once with their paths.
 * @throws KmsError `config-missing`, `config-unreadable`, `bad-config-file`
 */
export async function loadNodeConfig(source: NodeConfigSource): Promise<NodeConfig> {
  const file = join(source.directory, NODE_CONFIG_FILE)
  return parseNodeConfig(await readYamlFile(file, NO_NODE), source)
}

/** The same for a document that was already read. @throws KmsError `bad-config-file` */
export function parseNodeConfig(document: unknown, source: NodeConfigSource): NodeConfig {
  const file = join(source.directory, NODE_CONFIG_FILE)
  const parsed = nodeConfigSchema.safeParse(overlayEnvironment(document, source.env))
  const problems = parsed.success ? ruleProblems(parsed.data) : schemaProblems(parsed.error)
  if (!parsed.success || problems.length > 0)
    throw configError('bad-config-file', `${file} is refused`, { file, problems })
  const config = parsed.data
  const dataDir = resolve(source.directory, config.dataDir ?? '.')
  const { tlsCertFile, tlsKeyFile } = config.http
  return {
    ...config,
    dataDir,
    adminSocket: resolve(dataDir, config.adminSocket ?? 'admin.sock'),
    policyFile: resolve(dataDir, config.policyFile ?? 'policy.yaml'),
    http: {
      ...config.http,
      ...(tlsCertFile !== undefined && { tlsCertFile: resolve(dataDir, tlsCertFile) }),
      ...(tlsKeyFile !== undefined && { tlsKeyFile: resolve(dataDir, tlsKeyFile) }),
    },
    sealer: resolveSealer(dataDir, config.sealer),
    attestation: resolveAttestation(dataDir, config.attestation),
  }
}

function resolveSealer(dataDir: string, sealer: SealerConfig): SealerConfig {
  if (sealer.provider === 'dstack') return { ...sealer, socket: resolve(dataDir, sealer.socket) }
  if (sealer.provider === 'kms-file') return { ...sealer, keyFile: resolve(dataDir, sealer.keyFile) }
  if (sealer.provider === 'tpm2') return sealer
  const { passphraseFile } = sealer
  return passphraseFile === undefined ? sealer : { ...sealer, passphraseFile: resolve(dataDir, passphraseFile) }
}

/** Whether only processes of this machine can reach what listens on `host`. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host)

function ruleProblems(config: NodeConfigFile): readonly string[] {
  return [
    ...plainHttpProblems(config),
    ...tlsFileProblems(config),
    ...chainProblems(config),
    ...contractWalletProblems(config),
    ...attestationProblems(config),
    ...(config.profile === 'production' ? developmentSwitches(config) : []),
  ]
}

function plainHttpProblems({ http }: NodeConfigFile): readonly string[] {
  return http.tls || isLoopback(http.host) ? [] : ['http.tls: plain HTTP is served on a loopback host only']
}

function tlsFileProblems({ http }: NodeConfigFile): readonly string[] {
  const given = [http.tlsCertFile, http.tlsKeyFile].filter((file) => file !== undefined).length
  if (given === 1) return ['http.tlsCertFile: and http.tlsKeyFile belong together: give both or none']
  return given === 2 && !http.tls ? ['http.tlsCertFile: has no use without http.tls'] : []
}

function chainProblems({ chains, profile }: NodeConfigFile): readonly string[] {
  return Object.entries(chains).flatMap(([id, { rpc, required = majority(rpc.length) }]) => {
    const problems: string[] = []
    if (new Set(rpc).size !== rpc.length) problems.push(`chains.${id}.rpc: names an endpoint twice`)
    if (required > rpc.length || required < majority(rpc.length))
      problems.push(`chains.${id}.required: more than half of the endpoints, and at most all of them`)
    const plain = rpc.some((url) => url.startsWith('http:') && !isLoopback(hostOf(url)))
    if (profile === 'production' && plain)
      problems.push(`chains.${id}.rpc: plain HTTP beyond this machine only in the development profile`)
    return problems
  })
}

function contractWalletProblems({ chains, erc1271 }: NodeConfigFile): readonly string[] {
  return erc1271 === undefined || chains[erc1271.chain] !== undefined ? [] : ['erc1271.chain: must be one of chains']
}

const hostOf = (url: string): string => new URL(url).hostname.replace(/^\[(.*)\]$/, '$1')

function developmentSwitches({ sealer, ceremony }: NodeConfigFile): readonly string[] {
  const problems: string[] = []
  if (sealer.provider === 'kms-file') problems.push('sealer.provider: kms-file only in the development profile')
  if (sealer.provider === 'passphrase' && sealer.scryptLogN < DEFAULT_SCRYPT.logN)
    problems.push(`sealer.scryptLogN: below ${DEFAULT_SCRYPT.logN} only in the development profile`)
  for (const name of ['phaseBaseMs', 'phasePerMemberMs', 'retransmitMs', 'retransmitMaxMs'] as const)
    if (ceremony[name] < PROTOCOL_TIMINGS[name])
      problems.push(`ceremony.${name}: below the protocol's ${PROTOCOL_TIMINGS[name]} only in the development profile`)
  if (ceremony.retireGraceMs < DEFAULT_RETIREMENT.graceMs)
    problems.push(
      `ceremony.retireGraceMs: below the protocol's ${DEFAULT_RETIREMENT.graceMs} only in the development profile`,
    )
  if (ceremony.startupWaitMs < DEFAULT_STARTUP_WAIT_MS)
    problems.push(`ceremony.startupWaitMs: below ${DEFAULT_STARTUP_WAIT_MS} only in the development profile`)
  return problems
}
