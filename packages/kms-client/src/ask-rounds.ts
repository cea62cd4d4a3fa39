import type { ClusterNode, KeyId, ParticipantIndex, VerifiedKey } from '@tkms/dkg'
import { askNodes, type AskLimits, type NodeAnswer, type ProofMode } from './ask-nodes.ts'
import { clientError, type NodeFailure, type NodeFailureCode, QuorumError } from './errors.ts'
import type { ChainFollower } from './follow-chain.ts'
import type { NodeRecords } from './node-records.ts'
import type { AnswerCheck } from './open-answer.ts'
import type { AskedItem, ItemResult } from './settle-items.ts'
import type { SignedRequest } from './signed-request.ts'
import type { Transport } from './transport/types.ts'

/** Failures that a change of epoch explains: the sharing is gone, or the node is. */
const STALE: ReadonlySet<NodeFailureCode> = new Set([
  'superseded',
  'wrong-sharing',
  'unknown-key',
  'unreachable',
  'timed-out',
])
/** Rounds of one call, at most: every new one is for something learnt, or for nodes that are about to learn it. */
const MAX_ROUNDS = 5
const FIRST_PAUSE_MS = 200

export interface Rounds {
  readonly check: Pick<AnswerCheck, 'curve' | 'verify' | 'trusted' | 'requesterKey'>
  readonly follower: ChainFollower
  readonly keyId: KeyId
  readonly items: readonly AskedItem[]
  /** Not asked, unless too few are left without them. */
  readonly without: ReadonlySet<ParticipantIndex>
  readonly proofs: ProofMode
  readonly sign: (key: VerifiedKey) => Promise<SignedRequest>
  readonly transport: Transport
  readonly records: NodeRecords
  /** `totalTimeoutMs` is for all rounds together. */
  readonly limits: AskLimits
  readonly signal: AbortSignal
  readonly onNodeAnswer: (answer: NodeAnswer) => void
  readonly onNodeFailure: (failure: NodeFailure) => void
}

/**
 * The items, asked of the key's latest sharing (protocol 8): every round is one request for one sharing, and answers of two rounds never meet.
 * A quorum that fails because the nodes have moved on is asked again once the certificates are here; one that fails because
 * nodes have not heard of the latest sharing yet is asked again a little later.
 * @throws QuorumError of the last round; KmsError `degraded-certificate`, `cancelled`
 */
export async function askRounds(input: Rounds): Promise<readonly ItemResult[]> {
  const { check, follower, limits } = input
  const { trusted } = check
  const deadlineMs = performance.now() + limits.totalTimeoutMs
  let pauseMs = FIRST_PAUSE_MS
  for (let round = 1; ; round++) {
    const key = trusted.key(input.keyId)
    const nodes = trusted.nodesOf(key)
    try {
      return await askOnce(input, key, nodes, deadlineMs - performance.now())
    } catch (error) {
      if (!(error instanceof QuorumError) || round === MAX_ROUNDS) throw error
      if (!mayBeStale(error, nodes, key)) throw error
      const { changed, degraded } = await withDeadline(input.signal, deadlineMs, error, (signal) =>
        follower.refresh(signal),
      )
      if (changed || trusted.key(input.keyId) !== key) continue
      if (degraded !== undefined) throw degraded
      if (!error.causes.some(({ code }) => code === 'wrong-sharing')) throw error
      await withDeadline(input.signal, deadlineMs, error, (signal) => pause(pauseMs, signal))
      pauseMs *= 2
    }
  }
}

async function askOnce(
  input: Rounds,
  key: VerifiedKey,
  nodes: readonly ClusterNode[],
  totalTimeoutMs: number,
): Promise<readonly ItemResult[]> {
  const { check, follower, limits } = input
  const request = await input.sign(key)
  const others = nodes.filter(({ index }) => !input.without.has(index))
  return askNodes({
    ...input,
    check: { ...check, request, certificates: check.trusted.chainOf(key) },
    nodes: others.length < key.t ? nodes : others,
    signAgain: () => input.sign(key),
    limits: { ...limits, totalTimeoutMs: Math.max(0, Math.ceil(totalTimeoutMs)) },
    onNodeFailure: (failure) => {
      if (failure.code === 'superseded') follower.hint()
      input.onNodeFailure(failure)
    },
  })
}

/** Whether newer certificates, or addresses of members that have none here, could help. */
const mayBeStale = ({ causes }: QuorumError, nodes: readonly ClusterNode[], key: VerifiedKey): boolean =>
  nodes.length < key.config.n || causes.some(({ code }) => STALE.has(code))

/** Runs `work` until the call's time is over: then what failed before is the cause. */
async function withDeadline<T>(
  caller: AbortSignal,
  deadlineMs: number,
  failed: QuorumError,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeout = AbortSignal.timeout(Math.max(0, Math.ceil(deadlineMs - performance.now())))
  try {
    return await work(AbortSignal.any([caller, timeout]))
  } catch (error) {
    if (caller.aborted) throw clientError('cancelled', 'the caller cancelled', { cause: caller.reason as unknown })
    if (timeout.aborted) throw failed
    throw error
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = (): void => {
      clearTimeout(timer)
      reject(signal.reason as Error)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', cancel)
      resolve()
    }, ms)
    if (signal.aborted) return cancel()
    signal.addEventListener('abort', cancel, { once: true })
  })
}
