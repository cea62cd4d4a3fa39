import { readFile } from 'node:fs/promises'
import { configError } from '../config/yaml-file.ts'

type Environment = Readonly<Record<string, string | undefined>>
type Problem = (text: string) => void

const PREFIX = 'NOX_KMS_'
const CHAIN = /^CHAINS__([0-9]+)__(.+)$/
const MAX_TIMEOUT_MS = 60_000
const DEFAULT_CALL_TIMEOUT_MS = 8_000
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, sec: 1_000, secs: 1_000, m: 60_000, min: 60_000 }

/** What a deployment of the single-key service says in its own variables, in the shape of our configuration file. */
export interface NoxSettings {
  readonly document: Readonly<Record<string, unknown>>
  /** Variables of its prefix that mean nothing here. */
  readonly ignored: readonly string[]
}

/**
 * The NOX_KMS_ variables (interop 1.2). `_FILE` reads a value from a file; the wallet's key is left where it is. A private key of a chain
 * is refused: the cluster holds it now.
 * @throws KmsError `bad-config-file` with everything that is wrong
 */
export async function readNoxEnvironment(env: Environment): Promise<NoxSettings> {
  const problems: string[] = []
  const ignored: string[] = []
  const server: Record<string, unknown> = {}
  const chains: Record<string, Record<string, unknown>> = {}
  let walletKeyFile: string | undefined
  for (const [name, given] of Object.entries(env)) {
    if (!name.startsWith(PREFIX) || given === undefined) continue
    const setting = name.slice(PREFIX.length)
    const [, id, option] = CHAIN.exec(setting) ?? []
    if (setting === 'SERVER__HOST') server['host'] = given
    else if (setting === 'SERVER__PORT') server['port'] = /^[0-9]{1,5}$/.test(given) ? Number(given) : given
    else if (setting === 'WALLET_KEY_FILE') walletKeyFile = given
    else if (id !== undefined && option !== undefined) {
      chains[id] ??= { timeoutMs: DEFAULT_CALL_TIMEOUT_MS }
      const value = option.endsWith('_FILE') && !option.startsWith('ECC_KEY') ? await readValue(name, given) : given
      const known = readChainOption(chains[id], { name, option: option.replace(/_FILE$/, ''), value }, (text) =>
        problems.push(text),
      )
      if (!known) ignored.push(name)
    } else if (setting !== 'WALLET_KEY') ignored.push(name)
  }
  if (problems.length > 0)
    throw configError('bad-config-file', 'the environment is refused', { file: PREFIX, problems })
  return {
    ignored,
    document: {
      ...(Object.keys(server).length > 0 && { server }),
      ...(Object.keys(chains).length > 0 && { chains }),
      ...(walletKeyFile !== undefined && { walletKeyFile }),
    },
  }
}

/** @returns whether the option is one of the single-key service's */
function readChainOption(
  chain: Record<string, unknown>,
  { name, option, value }: { readonly name: string; readonly option: string; readonly value: string },
  problem: Problem,
): boolean {
  if (option === 'RPC_URL') Object.assign(chain, { rpc: [value] })
  else if (option === 'NOX_COMPUTE_CONTRACT_ADDRESS') Object.assign(chain, { contract: value })
  else if (option === 'CALL_TIMEOUT' || option === 'CONNECT_TIMEOUT') {
    const timeoutMs = durationMs(value)
    if (timeoutMs === undefined) problem(`${name}: must be above 0 and at most 60s, such as "8s"`)
    // Connecting counts against the time of the call.
    else if (option === 'CALL_TIMEOUT') Object.assign(chain, { timeoutMs })
  } else if (option === 'ECC_KEY')
    problem(
      `${name}: a combiner holds no private key. Import it into the cluster (kms-node ceremony propose --import ecies/<chain id> --key-file FILE), then remove this variable`,
    )
  else return false
  return true
}

async function readValue(name: string, file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (cause) {
    throw configError('config-unreadable', `${name} names a file that cannot be read: ${file}`, { file, cause })
  }
}

/** "8s", "500ms", "1m 30s"; bare digits are seconds. */
function durationMs(text: string): number | undefined {
  const parts = text
    .trim()
    .split(/\s+/)
    .map((part) => /^([0-9]{1,6})([a-z]*)$/.exec(part))
  let total = 0
  for (const part of parts) {
    const unit = UNIT_MS[part?.[2] === '' ? 's' : (part?.[2] ?? '')]
    if (part === null || unit === undefined) return undefined
    total += Number(part[1]) * unit
  }
  return total > 0 && total <= MAX_TIMEOUT_MS ? total : undefined
}
