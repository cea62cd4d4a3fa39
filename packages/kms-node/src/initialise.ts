import { readTlsFiles } from './http/tls-files.ts'
import { constants } from 'node:fs'
import { access, chmod, mkdir } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { KmsError } from '@tkms/dkg'
import { formatNodeCard, type NodeCard } from './cluster/node-card.ts'
import { loadNodeConfig, NODE_CONFIG_FILE, parseNodeConfig } from './config/node-config.ts'
import type { NodeConfig } from './config/types.ts'
import { parseYaml } from './config/yaml-file.ts'
import { replaceFile } from './files.ts'
import { createNodeIdentity, forgetIdentity, loadNodeIdentity, type NodeIdentity } from './identity/node-identity.ts'
import { spkiSha256 } from './identity/tls-certificate.ts'
import { POLICY_TEMPLATE } from './policy/policy-file.ts'
import { openSealer } from './seal/open-sealer.ts'
import type { SealerProvider } from './seal/sealed-format.ts'
import type { RecordStore } from './ports.ts'
import { KEYRING_FILE } from './store/directory.ts'
import { storeError } from './store/errors.ts'
import { requireStore } from './store/require-store.ts'
import { createRecordStore, openRecordStore } from './store/record-store.ts'
import { storeDirectory, systemClock, systemRng } from './system.ts'

/** The settings that `init` writes into node.yaml; the rest has defaults. */
export interface InitInput {
  readonly directory: string
  readonly name: string
  readonly profile: 'production' | 'development'
  readonly listen: readonly string[]
  readonly announce: readonly string[]
  readonly httpHost: string
  readonly httpPort: number
  readonly tls: boolean
  readonly publicUrl?: string | undefined
  /** Default: passphrase. */
  readonly sealer?: SealerProvider | undefined
  /** From the data directory, where it is relative; with the passphrase sealer only. */
  readonly passphraseFile?: string | undefined
  /** Told what production would refuse. */
  readonly onWarning?: (warning: string) => void
  readonly env: Record<string, string | undefined>
}

/**
 * Makes a node: node.yaml, policy.yaml, the sealed store with the identity, and what is public: TLS certificate and, last, the node
 * card. Nothing is written before everything given was found good. Existing configuration files are kept. Without a card an earlier call was cut short: it is finished, with the identity that
 * it may have stored. Where there is a card nothing is touched.
 * @throws KmsError `bad-config-file`, `address-unknown`, `passphrase-missing`, `passphrase-unreadable`, `passphrase-weak`, `store-exists`,
 * `unseal-failed`, `sealer-mismatch`, `unsafe-permissions`
 */
export async function initialiseNode(
  input: InitInput,
): Promise<{ readonly config: NodeConfig; readonly card: NodeCard }> {
  const file = join(input.directory, NODE_CONFIG_FILE)
  const yaml = nodeYaml(input)
  const kept = await exists(file)
  const config = kept ? await loadNodeConfig(input) : parseNodeConfig(parseYaml(yaml, file), input)
  const cardFile = join(config.dataDir, 'card.json')
  if (await exists(cardFile)) {
    await requireStore(config)
    throw storeError('store-exists', `${config.dataDir} holds a node already: choose another data directory`, {
      data: { directory: config.dataDir },
    })
  }
  publicUrl(config)
  const sealer = await openSealer({ config, env: input.env, ...(input.onWarning && { onWarning: input.onWarning }) })
  try {
    await sealer.check()
    await mkdir(input.directory, { recursive: true, mode: 0o700 })
    await chmod(input.directory, 0o700)
    if (!kept) await replaceFile(file, yaml)
    // It may lie in a clone: nothing of a node belongs into a repository.
    await writeUnlessThere(join(input.directory, '.gitignore'), '*\n')
    await writeUnlessThere(config.policyFile, POLICY_TEMPLATE)
    const options = { directory: storeDirectory(config.dataDir), sealer, rng: systemRng }
    const made = await exists(join(options.directory, KEYRING_FILE))
    const store = made ? await openRecordStore(options) : await createRecordStore(options)
    try {
      return { config, card: await writeCard(config, await ownIdentity(store, config), cardFile) }
    } finally {
      await store.close()
    }
  } finally {
    sealer.destroy()
  }
}

/** The one that is stored, whole, or a new one. */
async function ownIdentity(store: RecordStore, config: NodeConfig): Promise<NodeIdentity> {
  if ((await store.list('identity')).length > 0) return loadNodeIdentity(store)
  const tls = { name: config.name, hosts: [...hostsOf(config)], nowMs: systemClock.nowMs() }
  return createNodeIdentity(store, systemRng, tls)
}

async function writeCard(config: NodeConfig, identity: NodeIdentity, cardFile: string): Promise<NodeCard> {
  try {
    const { tlsCertFile: certFile, tlsKeyFile: keyFile } = config.http
    const own =
      certFile === undefined || keyFile === undefined ? identity.tls : await readTlsFiles({ certFile, keyFile })
    const card = formatNodeCard({
      name: config.name,
      publicKey: identity.publicKey,
      multiaddrs: config.announce.length > 0 ? config.announce : config.listen,
      url: publicUrl(config),
      tlsSpkiSha256: config.http.tls ? spkiSha256(own.cert) : undefined,
    })
    if (config.http.tls) await replaceFile(join(config.dataDir, 'tls.crt'), own.cert, 0o644)
    await replaceFile(cardFile, `${JSON.stringify(card, undefined, 2)}\n`, 0o644)
    return card
  } finally {
    forgetIdentity(identity)
  }
}

/** Where others reach the HTTP API. @throws KmsError `address-unknown` when only the operator can know it */
export function publicUrl({ publicUrl: configured, http }: NodeConfig): string {
  if (configured !== undefined) return configured.replace(/\/$/, '')
  if (http.host === '0.0.0.0' || http.host === '::' || http.port === 0)
    throw new KmsError(
      'address-unknown',
      'give --public-url: clients cannot reach this node at the address it listens on',
    )
  const host = isIP(http.host) === 6 ? `[${http.host}]` : http.host
  return `${http.tls ? 'https' : 'http'}://${host}:${http.port}`
}

function hostsOf(config: NodeConfig): Set<string> {
  return new Set([new URL(publicUrl(config)).hostname.replace(/^\[|\]$/g, ''), 'localhost', '127.0.0.1'])
}

const exists = (path: string): Promise<boolean> =>
  access(path, constants.F_OK).then(
    () => true,
    () => false,
  )

async function writeUnlessThere(path: string, text: string): Promise<void> {
  if (!(await exists(path))) await replaceFile(path, text)
}

const yamlList = (items: readonly string[]): string => `[${items.map((item) => JSON.stringify(item)).join(', ')}]`

function nodeYaml(input: InitInput): string {
  const lines = [
    '# A node of a Threshold KMS cluster. Every setting can be overridden by a TKMS_ variable: http.port is TKMS_HTTP_PORT.',
    '# production refuses every development switch at start.',
    `profile: ${input.profile}`,
    `name: ${JSON.stringify(input.name)}`,
    '# libp2p: where this node listens, and what it tells others (the same, when empty).',
    `listen: ${yamlList(input.listen)}`,
    `announce: ${yamlList(input.announce)}`,
    ...(input.publicUrl === undefined ? [] : [`publicUrl: ${JSON.stringify(input.publicUrl)}`]),
    'http:',
    `  host: ${JSON.stringify(input.httpHost)}`,
    `  port: ${input.httpPort}`,
    `  tls: ${input.tls}`,
    'sealer:',
    `  provider: ${input.sealer ?? 'passphrase'}`,
    ...(input.passphraseFile === undefined ? [] : [`  passphraseFile: ${JSON.stringify(input.passphraseFile)}`]),
  ]
  return `${lines.join('\n')}\n`
}
