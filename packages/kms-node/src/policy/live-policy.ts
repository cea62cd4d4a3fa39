import { stat } from 'node:fs/promises'
import { sha256 } from '@noble/hashes/sha2.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'
import { bytesKey } from '@tkms/dkg'
import { parseYaml, readConfigText } from '../config/yaml-file.ts'
import { isKmsError } from '../errors.ts'
import type { Log } from '../ops/log.ts'
import type { Clock } from '../ports.ts'
import { parsePolicy, type PolicyContext } from './policy-file.ts'
import type { Policy } from './policy.ts'

/** A change of the file is seen within two of these. */
const POLL_MS = 1_000

/** The policy file as an operator sees it. */
export interface PolicyState {
  readonly file: string
  /** What decides: SHA-256 of the file it was read from, 0x and 64 hex digits, and since when, Unix seconds. */
  readonly inForce: { readonly sha256: string; readonly since: number }
  /** The file as it is now is refused, and what is in force stays. */
  readonly refused?: { readonly since: number; readonly code: string; readonly problems: readonly string[] }
}

/** The policy of a running node, which follows its file. */
export interface LivePolicy extends Policy {
  state(): PolicyState
  /** What happens every second: a file that changed and has not changed since the last look is taken. */
  look(): Promise<void>
  /** Looks at the file now, whether it seems changed or not (SIGHUP). */
  reload(): Promise<PolicyState>
  stop(): void
}

export interface LivePolicyOptions extends PolicyContext {
  readonly clock: Clock
  readonly log: Log
  /** A file decides from here on: the first one, and each that is taken in its place. Its SHA-256, 32 bytes. */
  readonly onPolicy: (fileHash: Uint8Array) => void
  /** How often the file is looked at. */
  readonly pollMs?: number
}

interface Loaded {
  readonly policy: Policy
  readonly hash: Uint8Array
  readonly sha256: string
}

/**
 * Follows a policy file. It is taken whole or not at all, and only once it rests: half of a file that is being written could allow
 * more than the whole.
 * @throws KmsError `config-missing`, `config-unreadable`, `bad-config-file` when there is no policy to begin with
 */
export async function openLivePolicy(options: LivePolicyOptions): Promise<LivePolicy> {
  const { file, clock, log } = options
  const nowSeconds = (): number => Math.floor(clock.nowMs() / 1000)
  const load = async (): Promise<Loaded> => {
    const text = await readConfigText(file)
    const hash = sha256(utf8ToBytes(text))
    return { policy: parsePolicy(parseYaml(text, file), options), hash, sha256: `0x${bytesKey(hash)}` }
  }

  let look = await lookAt(file)
  let current = await load()
  options.onPolicy(current.hash)
  let since = nowSeconds()
  let edition = 0
  let refused: PolicyState['refused']
  /** What the file looked like when it was last taken or refused. */
  let settled = look

  const state = (): PolicyState => ({
    file,
    inForce: { sha256: current.sha256, since },
    ...(refused === undefined ? {} : { refused }),
  })

  const take = (loaded: Loaded): void => {
    const changed = loaded.sha256 !== current.sha256
    if (changed) {
      current = loaded
      edition++
      options.onPolicy(loaded.hash)
      since = nowSeconds()
    }
    if (changed || refused !== undefined) log.info({ sha256: loaded.sha256 }, 'policy-loaded')
    refused = undefined
  }

  const refuse = (cause: unknown): void => {
    if (!isKmsError(cause)) throw cause
    const { code } = cause
    const problems = listed(cause.data['problems'])
    const known = refused?.code === code && refused.problems.join('\n') === problems.join('\n')
    if (!known) log.error({ code, problems, inForce: current.sha256 }, 'policy-refused')
    refused = { since: known && refused !== undefined ? refused.since : nowSeconds(), code, problems }
  }

  const read = async (): Promise<PolicyState> => {
    const before = await lookAt(file)
    const outcome = await load().then(
      (loaded) => () => take(loaded),
      (cause: unknown) => () => refuse(cause),
    )
    look = await lookAt(file)
    // It moved while it was read: what was read may be neither the old nor the new one. The next look finds it at rest.
    if (look !== before) return state()
    settled = look
    outcome()
    return state()
  }

  let turn: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(run: () => Promise<T>): Promise<T> => {
    const mine = turn.then(run)
    turn = mine.catch(() => undefined)
    return mine
  }
  const poll = async (): Promise<void> => {
    const seen = await lookAt(file)
    const atRest = seen === look
    look = seen
    if (atRest && seen !== settled) await read()
  }
  const timer = setInterval(() => {
    inTurn(poll).catch((cause: unknown) => log.error({ cause }, 'policy-unreadable'))
  }, options.pollMs ?? POLL_MS)
  timer.unref()

  return {
    get edition() {
      return edition
    },
    decide: (keyName, input) => current.policy.decide(keyName, input),
    explain: (keyName, input) => current.policy.explain(keyName, input),
    state,
    look: () => inTurn(poll),
    reload: () => inTurn(read),
    stop: () => clearInterval(timer),
  }
}

/** What tells one state of the file from another: which file it is, its size and its times. "none" when there is none to look at. */
async function lookAt(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true })
    return [dev, ino, size, mtimeNs, ctimeNs].join(':')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause) return 'none'
    throw cause
  }
}

const listed = (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(String) : [])
