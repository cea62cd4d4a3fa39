import { type ClusterNode, combineSharing, KmsError, type ParticipantIndex, type PointBytes } from '@tkms/dkg'
import { isMisbehaviour, type NodeFailure, NodeFailureError } from './errors.ts'
import { describe, gather } from './gather.ts'
import type { NodeRecords } from './node-records.ts'
import type { SignedRequest } from './signed-request.ts'
import type { Transport, TransportReply } from './transport/types.ts'
import { type AnswerCheck, type VerifiedPartial, verifyAnswer } from './verify-answer.ts'

/** Above the RSA block that a single answer consists of. */
const REPLY_OVERHEAD_BYTES = 512

export interface AskLimits {
  /** One node's time to answer. */
  readonly nodeTimeoutMs: number
  /** The time of a whole call, however many nodes are asked. */
  readonly totalTimeoutMs: number
}

/** A node whose partial decryption was verified. */
export interface NodeAnswer {
  readonly index: ParticipantIndex
  readonly name: string
  /** From the call to the verified proof. */
  readonly latencyMs: number
}

/**
 * S = s*K of a signed request: t verified partials, combined (protocol 10.1). Proofs are verified before anything is combined,
 * so the result is right whoever lies, also where no commitment checks it (v1 envelopes and bare points).
 * @throws QuorumError, KmsError `cancelled`
 */
export async function askNodes(input: {
  readonly check: AnswerCheck
  /** Whom to ask: members of the key's committee. */
  readonly nodes: readonly ClusterNode[]
  /** The same request under a new id. */
  readonly signAgain: () => Promise<SignedRequest>
  readonly transport: Transport
  readonly records: NodeRecords
  readonly limits: AskLimits
  readonly signal: AbortSignal | undefined
  readonly onNodeAnswer: (answer: NodeAnswer) => void
  readonly onNodeFailure: (failure: NodeFailure) => void
}): Promise<PointBytes> {
  const { check, records, limits } = input
  const { key } = check.request
  const partials = await gather<VerifiedPartial>({
    nodes: records.order(input.nodes),
    needed: key.t,
    ...limits,
    hedgeAfterMs: (node) => records.hedgeAfterMs(node.index),
    signal: input.signal,
    ask: async (node, signal) => {
      const startedMs = performance.now()
      const partial = await askOne(input, node, signal)
      const latencyMs = performance.now() - startedMs
      records.answered(node.index, latencyMs)
      input.onNodeAnswer({ index: node.index, name: node.name, latencyMs })
      return partial
    },
    onFailure: (failure) => {
      if (isMisbehaviour(failure)) records.misbehaved(failure.index)
      else records.failed(failure.index, limits.nodeTimeoutMs)
      input.onNodeFailure(failure)
    },
  })
  return combineSharing(check.curve, key, [...partials.values()])
}

/**
 * A node refuses a request it has seen as `replayed`. It can have seen ours only from somebody we sent it to, so a lying node could
 * keep us from the honest ones by passing it on to them first: such a node is asked once more, under an id that only it is told.
 */
async function askOne(
  input: {
    readonly check: AnswerCheck
    readonly signAgain: () => Promise<SignedRequest>
    readonly transport: Transport
  },
  node: ClusterNode,
  signal: AbortSignal,
): Promise<VerifiedPartial> {
  const { check, transport } = input
  const reply = await exchange(transport, check, node, signal)
  if (reply.kind === 'answer' || reply.code !== 'replayed') return verifyAnswer(check, node, readAnswer(node, reply))
  const request = await input.signAgain().catch((error: unknown) => {
    throw new NodeFailureError(describe(node, 'replayed', 'refused: replayed; no new request could be signed'), error)
  })
  const fresh = { ...check, request }
  return verifyAnswer(fresh, node, readAnswer(node, await exchange(transport, fresh, node, signal)))
}

async function exchange(
  transport: Transport,
  check: AnswerCheck,
  node: ClusterNode,
  signal: AbortSignal,
): Promise<TransportReply> {
  const maxReplyBytes = check.requesterKey.blockBytes + REPLY_OVERHEAD_BYTES
  try {
    return await transport.ask(node, check.request.authorization, { signal, maxReplyBytes })
  } catch (error) {
    if (!(error instanceof KmsError)) throw error
    if (error.code === 'unreachable') throw new NodeFailureError(describe(node, 'unreachable', error.message), error)
    if (error.code === 'bad-reply') throw new NodeFailureError(describe(node, 'bad-reply', error.message), error)
    throw error
  }
}

function readAnswer(node: ClusterNode, reply: TransportReply): Extract<TransportReply, { kind: 'answer' }>['answer'] {
  if (reply.kind === 'answer') return reply.answer
  const { code, skewSeconds } = reply
  if (code !== 'clock-skew' || skewSeconds === undefined)
    throw new NodeFailureError(describe(node, code, `refused: ${code}`))
  const direction = skewSeconds > 0 ? 'ahead of' : 'behind'
  const detail = `its clock is ${Math.abs(skewSeconds)} s ${direction} the request: one of the two clocks is wrong`
  throw new NodeFailureError({ ...describe(node, code, detail), skewSeconds })
}
