import {
  type Answer,
  type Authorization,
  type BatchItem,
  bytesKey,
  itemPoint,
  type RefusalCode,
  type RequestItem,
  type SignMessage,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { Policy } from '../policy/policy.ts'
import type { Clock, Rng } from '../ports.ts'
import { type AdmissionPorts, type Admitted, admitRequest } from './admission.ts'
import { answerContext, createAnswer } from './answer.ts'
import { Cancelled, eachItem } from './each-item.ts'
import type { Loan, ServedKey } from './key-table.ts'
import { refuse, type Refusal } from './refusal.ts'
import { type ItemVerdict, releaseRecord, rulesOf } from './release-record.ts'
import type { ReleaseLedger, ReleaseOutcome } from './release-ledger.ts'
import { createRsaPolicy, type RsaVerdict } from './rsa-policy.ts'
import { createRuleInputs, type RuleCall } from './rule-inputs.ts'
import { createTentativeCounts, type TentativeCounts } from './tentative-counts.ts'
import { createItemComputer } from './workers/item-computer.ts'
import { AUX_BYTES } from './workers/item-work.ts'
import type { WorkerPool } from './workers/worker-pool.ts'
import { ADDRESS_SHARE, createWorkQueue } from './work-queue.ts'

/** What a transport sends back. */
export type DelegationResult =
  | { readonly kind: 'answer'; readonly answer: Answer }
  | { readonly kind: 'refusal'; readonly code: RefusalCode; readonly skewSeconds?: number }

export interface DelegationCall extends RuleCall {
  /** Who sent it, for the log. */
  readonly remote: string
}

/** One request's end, for the log: public values and fixed words only. */
export interface DelegationEvent {
  readonly remote: string
  readonly outcome: 'answer' | RefusalCode
  readonly durationMs: number
  readonly reason?: string
  readonly requestId?: string
  readonly keyId?: string
  readonly requester?: string
  readonly items?: number
  readonly released?: number
  /** Policy rules that said yes, without repetition. */
  readonly rules?: readonly string[]
  /** Set with `internal`. */
  readonly cause?: unknown
}

export interface PipelineOptions extends AdmissionPorts {
  readonly policy: Policy
  /** Every release is in it before its answer leaves. */
  readonly ledger: ReleaseLedger
  /** Signs answers with the node's identity. */
  readonly sign: SignMessage
  readonly clock: Clock
  readonly rng: Rng
  readonly limits: {
    readonly maxRequestsInFlight: number
    readonly maxRequestsQueued: number
    readonly rsaKeyCacheEntries: number
  }
  readonly onEvent: (event: DelegationEvent) => void
  /** Threads that compute; absent: all on this one. */
  readonly workers?: WorkerPool | undefined
}

/** Answers delegation requests of every transport. Never throws and never rejects. */
export interface DelegationPipeline {
  /** Requests computed or waiting. */
  readonly underWay: number
  handle(authorization: Authorization, call: DelegationCall): Promise<DelegationResult>
}

const NOT_RECORDED: Readonly<Record<Exclude<ReleaseOutcome, 'recorded'>, RefusalCode>> = {
  replayed: 'replayed',
  full: 'busy',
  outdated: 'policy-unavailable',
  unavailable: 'audit-unavailable',
}

/** How often a request is decided whose policy changes before its release is on record. */
const MAX_DECISIONS = 3
/** Items of one batch whose rules may wait for a chain at once. */
const DECISIONS_AT_ONCE = 16

interface Deciding {
  readonly served: ServedKey
  readonly call: DelegationCall
  readonly counts: TentativeCounts
}

interface Recorded {
  readonly kind: 'recorded'
  readonly decisions: readonly ItemVerdict[]
  readonly rsa: Extract<RsaVerdict, { kind: 'accepted' }>
}

interface Release {
  readonly kind: 'release'
  readonly answer: Answer
  readonly released: number
  readonly rules: readonly string[]
}

/**
 * The order of checks is that of docs/protocol.md 6, cheapest first: what `admitRequest` does, header proof, policy, RSA key, and only then
 * the share. An item's yes counts only when all of them passed. The share is used once the release is on record.
 */
export function createDelegationPipeline(options: PipelineOptions): DelegationPipeline {
  const { limits, clock, policy, curve, ledger } = options
  const queue = createWorkQueue({
    maxRunning: limits.maxRequestsInFlight,
    maxWaiting: limits.maxRequestsQueued,
    callerShare: ADDRESS_SHARE,
  })
  const computer = createItemComputer({ curve, pool: options.workers, underWay: () => queue.size })
  const rsaPolicy = createRsaPolicy({ maxEntries: limits.rsaKeyCacheEntries })
  const nowSeconds = (): number => Math.floor(clock.nowMs() / 1000)

  const decideItems = async (
    admitted: Admitted,
    { served, call, counts }: Deciding,
  ): Promise<readonly ItemVerdict[]> => {
    const inputOf = createRuleInputs(curve, admitted, { call, nowSeconds: nowSeconds(), dryRun: false })
    const { items } = admitted.request
    // Before the rules: a label that nothing proves makes no chain calls.
    const proven = items.filter((item) => item.version === 2)
    const proofs = await computer.headerProofs(proven, call.signal)
    const unproven = new Set<RequestItem>(proven.filter((_, at) => proofs[at] !== true))
    const decideItem = async (item: RequestItem): Promise<ItemVerdict> => {
      if (unproven.has(item)) return refuse('bad-header-proof')
      const own = createTentativeCounts()
      counts.unlessReleased(() => own.end(false))
      const decision = await policy.decide(served.key.keyName, inputOf(item, own.unlessReleased))
      if (decision.allowed) return decision
      own.end(false)
      const code = decision.undecided === true ? 'policy-unavailable' : 'not-allowed'
      return refuse(code, decision.refusals.map(({ rule, reason }) => `${rule}:${reason}`).join(' '))
    }
    return eachItem(items, call.signal, decideItem, DECISIONS_AT_ONCE)
  }

  /** Decides, and puts on record what is released: once more where a policy took the place of the one that decided. */
  const decideAndRecord = async (
    admitted: Admitted,
    { served, call, counts }: Deciding,
    round = 1,
  ): Promise<Recorded | Refusal> => {
    const { request } = admitted
    const { edition } = policy
    const own = createTentativeCounts()
    counts.unlessReleased(() => own.end(false))
    const decisions = await decideItems(admitted, { served, call, counts: own })
    const refusedAll = whole(decisions)
    if (refusedAll !== undefined) return refusedAll
    const rsa = rsaPolicy.check(request.spki)
    if (rsa.kind === 'refused') return refuse('weak-rsa-key', rsa.weakness)
    if (call.signal.aborted) return refuse('cancelled')
    const { requesterId } = admitted.requester
    const { requestId, expiresAt } = request
    const outcome = await ledger.record({
      requestId,
      expiresAt,
      address: call.address,
      holds: () => policy.edition === edition,
      release: releaseRecord({ ...admitted, requesterId, key: served.key }, decisions),
    })
    if (outcome === 'recorded') return { kind: 'recorded', decisions, rsa }
    own.end(false)
    if (outcome !== 'outdated' || round >= MAX_DECISIONS) return refuse(NOT_RECORDED[outcome])
    return decideAndRecord(admitted, { served, call, counts }, round + 1)
  }

  const release = async (
    {
      admitted,
      served,
      loan,
      counts,
    }: {
      readonly admitted: Admitted
      readonly served: ServedKey
      readonly loan: Loan
      readonly counts: TentativeCounts
    },
    call: DelegationCall,
  ): Promise<Release | Refusal> => {
    const { request } = admitted
    const { signal } = call
    if (ledger.seen(request.publicKeyId, request.requestId)) return refuse('replayed')
    const recorded = await decideAndRecord(admitted, { served, call, counts })
    if (recorded.kind === 'refusal') return recorded
    const { decisions, rsa } = recorded
    counts.end(true)
    const ctx = answerContext(served, request, admitted.hash)
    const released = request.items.filter((_, at) => isAllowed(decisions[at]))
    const aux = options.rng.bytes(AUX_BYTES * released.length)
    const partials = await computer.partials(
      {
        served,
        loan,
        ctx,
        points: released.map(itemPoint),
        aux: released.map((_, at) => aux.slice(at * AUX_BYTES, (at + 1) * AUX_BYTES)),
      },
      signal,
    )
    const computed = partials.values()
    const items = decisions.map((verdict): BatchItem => {
      if ('kind' in verdict) return { kind: 'refusal', code: verdict.code }
      const { value } = computed.next()
      return value === undefined ? { kind: 'refusal', code: 'internal' } : { kind: 'partial', ...value }
    })
    if (signal.aborted) return refuse('cancelled')
    const answer = createAnswer(options, { rsa, served, request, ctx, items })
    return {
      kind: 'release',
      answer,
      released: released.length,
      rules: rulesOf(decisions),
    }
  }

  const handle = async (authorization: Authorization, call: DelegationCall): Promise<DelegationResult> => {
    const { remote, signal } = call
    const startMs = clock.monotonicMs()
    let details: Partial<DelegationEvent> = {}
    let verified: { readonly keyId?: Uint8Array; readonly requester?: string } = {}
    const finish = (result: Release | Refusal, cause?: unknown): DelegationResult => {
      const durationMs = clock.monotonicMs() - startMs
      if (result.kind === 'release') {
        const { released, rules, answer } = result
        options.onEvent({ remote, outcome: 'answer', durationMs, ...details, released, rules })
        return { kind: 'answer', answer }
      }
      const { code, skewSeconds, reason } = result
      ledger.refused({ code, ...verified })
      options.onEvent({
        remote,
        outcome: code,
        durationMs,
        ...details,
        ...(reason === undefined ? {} : { reason }),
        ...(cause === undefined ? {} : { cause }),
      })
      return { kind: 'refusal', code, ...(skewSeconds === undefined ? {} : { skewSeconds }) }
    }
    try {
      const answer = async (): Promise<Release | Refusal> => {
        const admitted = await admitRequest(options, authorization, { nowSeconds: nowSeconds(), signal })
        if (admitted.kind === 'refusal') return admitted
        const { request } = admitted
        verified = { keyId: request.keyId, requester: admitted.requester.requesterId }
        details = {
          requestId: bytesKey(request.requestId),
          keyId: bytesKey(request.keyId),
          requester: admitted.requester.requesterId,
          items: request.items.length,
        }
        const found = options.lender.find(request.keyId, request.sharingId)
        if (found.kind !== 'found') return refuse(found.kind)
        const loan = found.borrow()
        const counts = createTentativeCounts()
        try {
          return await release({ admitted, served: found.served, loan, counts }, call)
        } finally {
          counts.end(false)
          loan.end()
        }
      }
      const result = await queue.enter(signal, answer, call.address)
      return finish(typeof result === 'string' ? refuse(result) : result)
    } catch (cause) {
      if (cause instanceof Cancelled) return finish(refuse('cancelled'))
      return finish(refuse('internal', isKmsError(cause) ? cause.code : 'unexpected'), cause)
    }
  }

  return {
    get underWay() {
      return queue.size
    },
    handle,
  }
}

const isAllowed = (verdict: ItemVerdict | undefined): boolean => verdict !== undefined && !('kind' in verdict)

/** The refusal of the whole request when no item is left: the first one's. */
function whole(verdicts: readonly ItemVerdict[]): Refusal | undefined {
  const refusals = verdicts.flatMap((verdict) => ('kind' in verdict ? [verdict] : []))
  return refusals.length === verdicts.length ? refusals[0] : undefined
}
