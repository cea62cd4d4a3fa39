import type { AttestationProvider, Attester, Clock, Rng } from '../ports.ts'
import type { Log } from '../ops/log.ts'
import { isKmsError } from '../errors.ts'
import { type AllowedMeasurement, allowedName } from './measurements.ts'
import type { QuoteVerifiers } from './open-verifier.ts'
import { type Measurement, parseQuote } from './quote.ts'
import { REPORT_DATA_BYTES } from './report-data.ts'
import { type AttestationVerdict, refusedQuote, type RefusalReason } from './verdict.ts'

const LOOK_MS = 600_000
const RETRY_MS = 60_000
/** For quote and collateral together. */
const TIMEOUT_MS = 60_000
const DAY_MS = 86_400_000

/** What a node knows of its own proof. */
export interface OwnAttestationState {
  readonly provider: AttestationProvider
  /** Of the last quote. */
  readonly measurement?: Measurement
  /** The entry of this node's own allow list that takes it. */
  readonly allowedAs?: string
  /** When the first certificate or piece of collateral behind it runs out, as last seen: Unix milliseconds. */
  readonly expiresMs?: number
  /** Why anybody would refuse it who has the root, the collateral and the TCB statuses of this node; of allow lists it says nothing. */
  readonly refused?: RefusalReason
}

/** Judges this node's own quote as others will, long before they refuse it. */
export interface OwnAttestation {
  readonly state: () => OwnAttestationState
  /** A new quote, judged now. It is done by itself, every ten minutes, and each minute while it fails. Never rejects. */
  look(): Promise<void>
  stop(): void
}

/** Looks at once, and does not wait for it: a platform may take seconds. */
export function createOwnAttestation(ports: {
  readonly attester: Attester
  readonly verifiers: QuoteVerifiers
  readonly allow: readonly AllowedMeasurement[]
  /** Warn when it ends within this time. */
  readonly warnDays: number
  readonly clock: Pick<Clock, 'nowMs'>
  readonly rng: Rng
  readonly log: Pick<Log, 'warn'>
}): OwnAttestation {
  const { attester, verifiers, allow, warnDays, clock, rng, log } = ports
  const { provider } = attester
  const stopping = new AbortController()
  let state: OwnAttestationState = { provider }
  let toldMs = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined

  const judge = async (signal: AbortSignal): Promise<AttestationVerdict> => {
    const reportData = rng.bytes(REPORT_DATA_BYTES)
    const quote = await attester.quote(reportData, signal)
    const measurement = parseQuote(quote ?? new Uint8Array(0))?.measurement
    if (measurement === undefined) return refusedQuote('malformed', 'the platform gave no quote that can be read')
    const { measurement: _before, allowedAs: _as, ...kept } = state
    const allowedAs = allowedName(allow, measurement)
    state = { ...kept, measurement, ...(allowedAs !== undefined && { allowedAs }) }
    return verifiers([itself(measurement)]).verify(quote, { reportData, signal })
  }

  const look = async (): Promise<void> => {
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(TIMEOUT_MS)])
    const verdict = await judge(signal).catch((cause: unknown) =>
      refusedQuote('missing', isKmsError(cause) ? cause.message : 'the platform failed'),
    )
    if (!stopping.signal.aborted) take(verdict)
  }

  const take = (verdict: AttestationVerdict): void => {
    const { refused: before, ...kept } = state
    if (verdict.kind === 'refused') {
      const { reason, detail } = verdict
      state = { ...kept, refused: reason }
      if (reason !== before) log.warn({ reason, detail }, 'own-quote-refused')
      return
    }
    state = { ...kept, expiresMs: verdict.expiresMs }
    const leftMs = verdict.expiresMs - clock.nowMs()
    if (leftMs >= warnDays * DAY_MS || clock.nowMs() - toldMs < DAY_MS) return
    toldMs = clock.nowMs()
    log.warn({ daysLeft: Math.floor(leftMs / DAY_MS) }, 'own-quote-ends')
  }

  const goOn = async (): Promise<void> => {
    await look()
    if (stopping.signal.aborted) return
    timer = setTimeout(() => void goOn(), state.refused === undefined ? LOOK_MS : RETRY_MS)
    timer.unref()
  }
  if (provider !== 'none') void goOn()
  return {
    state: () => state,
    look,
    stop: () => {
      stopping.abort(new Error('the node is stopping'))
      clearTimeout(timer)
    },
  }
}

/** An allow list of just what runs here. */
function itself(measurement: Measurement): AllowedMeasurement {
  const name = 'itself'
  if (measurement.tee === 'sgx') return { name, mrEnclave: measurement.mrEnclave }
  const [rtmr0, rtmr1, rtmr2, rtmr3] = measurement.rtmrs
  return { name, mrTd: measurement.mrTd, rtmr0, rtmr1, rtmr2, rtmr3 }
}
