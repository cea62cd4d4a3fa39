import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import { overlayEnvironment, schemaProblems, type Setting, settingsOf } from '../config/environment.ts'
import { configError, readYamlFile } from '../config/yaml-file.ts'
import { readNoxEnvironment } from './nox-environment.ts'

/** One chain whose NoxCompute contract this combiner answers for. */
export interface CombinerChain {
  /** JSON-RPC endpoints. May hold API keys: never logged. */
  readonly rpc: readonly string[]
  /** How many must give the same answer; default: more than half of them. */
  readonly required?: number | undefined
  readonly timeoutMs: number
  /** NoxCompute. */
  readonly contract: `0x${string}`
  /** Of the cluster's key; default: ecies/<chain id>. */
  readonly keyName?: string | undefined
}

export interface CombinerConfig {
  readonly server: { readonly host: string; readonly port: number }
  /** The cluster file, absolute. */
  readonly cluster: string
  /** The pin of the cluster file: "0x" and 64 hex digits. */
  readonly configHash?: string | undefined
  /** Later committees that were accepted by hand. */
  readonly acceptConfigHashes: readonly string[]
  /** The combiner's Ed25519 key, which the nodes' policies list; PKCS#8 PEM, mode 0600, absolute. */
  readonly signerFile: string
  /** The wallet's key in hex, absolute; otherwise it stands in the environment. */
  readonly walletKeyFile?: string | undefined
  /** How nodes are asked. */
  readonly transport: 'http' | 'libp2p'
  /** By decimal chain id. */
  readonly chains: Readonly<Record<string, CombinerChain>>
  readonly limits: {
    /** Calls that ask the cluster at once, and those waiting behind them. */
    readonly maxRequestsInFlight: number
    readonly maxRequestsQueued: number
    readonly maxConnections: number
    readonly requestTimeoutMs: number
    /** One node's time, and the time of a whole call. */
    readonly nodeTimeoutMs: number
    readonly totalTimeoutMs: number
    /** The combiner's own RSA key is made anew after this time. */
    readonly renewKeyMs: number
  }
  readonly log: { readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' }
}

const milliseconds = z.int().min(1).max(3_600_000)
const count = (max: number): z.ZodInt => z.int().min(1).max(max)
const hash = z.string().regex(/^0x[0-9a-f]{64}$/, 'must be 0x and 64 lower-case hex digits')
const path = z.string().min(1).max(4096)
const chain = z.strictObject({
  rpc: z
    .array(z.url({ protocol: /^https?$/ }).max(2048))
    .min(1)
    .max(16),
  required: count(16).optional(),
  timeoutMs: milliseconds.max(60_000).default(8_000),
  contract: z
    .templateLiteral(['0x', z.string().regex(/[0-9a-fA-F]{40}/)])
    .refine((address) => /[^0]/.test(address.slice(2)), 'must not be the zero address'),
  keyName: z.string().max(256).optional(),
})
const chainId = z
  .string()
  .regex(/^[1-9][0-9]{0,9}$/)
  .refine((id) => Number(id) <= 0xffff_ffff, 'a chain id of 32 bits')

const schema = z.strictObject({
  server: z
    .strictObject({
      host: z.string().min(1).max(253).default('127.0.0.1'),
      port: z.int().min(0).max(65_535).default(9000),
    })
    .prefault({}),
  cluster: path,
  configHash: hash.optional(),
  acceptConfigHashes: z.array(hash).max(64).default([]),
  signerFile: path,
  walletKeyFile: path.optional(),
  transport: z.enum(['http', 'libp2p']).default('http'),
  chains: z.record(chainId, chain),
  limits: z
    .strictObject({
      maxRequestsInFlight: count(1024).default(64),
      maxRequestsQueued: count(65_536).default(1024),
      maxConnections: count(65_536).default(512),
      requestTimeoutMs: milliseconds.default(15_000),
      nodeTimeoutMs: milliseconds.max(60_000).default(10_000),
      totalTimeoutMs: milliseconds.max(120_000).default(30_000),
      renewKeyMs: z.int().min(60_000).max(604_800_000).default(3_600_000),
    })
    .prefault({}),
  log: z
    .strictObject({ level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info') })
    .prefault({}),
})
const checked: z.ZodType<CombinerConfig> = schema

/** Every setting with its TKMS_COMBINER_ variable. */
export const COMBINER_SETTINGS: readonly Setting[] = settingsOf(schema, 'TKMS_COMBINER')

export interface LoadedConfig {
  readonly config: CombinerConfig
  /** NOX_KMS_ variables that mean nothing here. */
  readonly ignored: readonly string[]
}

/**
 * The configuration: the file if there is one, over it the NOX_KMS_ variables of the single-key service, over both TKMS_COMBINER_ ones.
 * Relative paths start at the file's directory, or the working directory.
 * @throws KmsError `config-missing`, `config-unreadable`, `bad-config-file`
 */
export async function loadCombinerConfig(source: {
  readonly file: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
}): Promise<LoadedConfig> {
  const { file, env } = source
  const name = file ?? 'the environment'
  const document = file === undefined ? {} : await readYamlFile(file)
  const nox = await readNoxEnvironment(env)
  const whole = overlayEnvironment(layOver(document, nox.document), env, COMBINER_SETTINGS)
  const parsed = checked.safeParse(whole)
  const problems = parsed.success ? ruleProblems(parsed.data) : schemaProblems(parsed.error, COMBINER_SETTINGS)
  if (!parsed.success || problems.length > 0)
    throw configError('bad-config-file', `${name} is refused`, { file: name, problems })
  const base = resolve(file === undefined ? '.' : dirname(file))
  const { cluster, signerFile, walletKeyFile } = parsed.data
  return {
    ignored: nox.ignored,
    config: {
      ...parsed.data,
      cluster: resolve(base, cluster),
      signerFile: resolve(base, signerFile),
      ...(walletKeyFile !== undefined && { walletKeyFile: resolve(base, walletKeyFile) }),
    },
  }
}

function ruleProblems({ chains, limits }: CombinerConfig): readonly string[] {
  const problems = Object.entries(chains)
    .filter(([, { rpc, required }]) => required !== undefined && (2 * required <= rpc.length || required > rpc.length))
    .map(([id]) => `chains.${id}.required: must be more than half of the endpoints, and no more than there are`)
  if (Object.keys(chains).length === 0) problems.push('chains: must name at least one chain')
  if (limits.renewKeyMs <= limits.totalTimeoutMs)
    problems.push('limits.renewKeyMs: must be longer than limits.totalTimeoutMs')
  return problems
}

/** The fields of `upper` over those of `lower`, level by level. */
function layOver(lower: unknown, upper: unknown): unknown {
  if (!isRecord(lower) || !isRecord(upper)) return upper
  return Object.entries(upper).reduce<Record<string, unknown>>(
    (result, [name, value]) => ({ ...result, [name]: layOver(result[name], value) }),
    { ...lower },
  )
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
