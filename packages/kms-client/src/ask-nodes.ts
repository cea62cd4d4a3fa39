import { type Answer, type ClusterNode, KmsError, type ParticipantIndex } from '@tkms/dkg'
import { isMisbehaviour, type NodeFailure, NodeFailureError } from './errors.ts'
import { describe, gather } from './gather.ts'
import type { NodeRecords } from './node-records.ts'
import { type AnswerCheck, openAnswer, type SignedAnswer } from './open-answer.ts'
import { type AskedItem, type ItemResult, settleItems } from './settle-items.ts'
import type { SignedRequest } from './signed-request.ts'
import type { Transport, TransportReply } from './transport/types.ts'
import { createPauses } from './pauses.ts'

/** Above the RSA block that a single answer consists of, and the entries of a batch. */
const REPLY_OVERHEAD_BYTES = 512
const BATCH_ITEM_BYTES = 128

export interface AskLimits {
  /** One node's time to answer. */
  readonly nodeTimeoutMs: number
  /** The time of a whole call, however many nodes are asked. */
  readonly totalTimeoutMs: number
}

/** When the nodes' proofs are verified: before anything is combined, or only where the combination does not open what commits to it. */
export type ProofMode = 'first' | 'on-failure'

/** A node whose answer counts. */
export interface NodeAnswer {
  readonly index: ParticipantIndex
  readonly name: string
  /** From the call to the opened answer. */
  readonly latencyMs: number
  /** What was verified: its signature, or also every proof in it. */
  readonly checked: 'signature' | 'proofs'
}

/**
 * What became of each item of a signed request: t signed answers, combined (protocol 10.1). Where something commits to s*K, proofs are
 * verified only if it does not open; elsewhere (v1 envelopes and bare points) before anything is combined. So the result is right whoever lies.
 * @returns one per item, in the order asked
 * @throws QuorumError, KmsError `cancelled`
 */
export async function askNodes(input: AskInput): Promise<readonly ItemResult[]> {
  const { check, items, records, limits } = input
  const { key } = check.request
  const proven = input.proofs === 'first' || items.some(({ open }) => open === undefined)
  const settlement = settleItems({ curve: check.curve, key, items, proven })
  await gather<Reply, SignedAnswer>({
    nodes: records.order(input.nodes),
    needed: key.t,
    ...limits,
    hedgeAfterMs: (node) => records.hedgeAfterMs(node.index),
    signal: input.signal,
    judge: (answers, isOver) => settlement.judge(answers, isOver),
    ask: async (node, signal) => {
      const startedMs = performance.now()
      const reply = await askOne(input, node, signal)
      records.answered(node.index, performance.now() - startedMs)
      return { ...reply, startedMs }
    },
    open: async (node, { check, answer, startedMs }) => {
      const signed = await openAnswer(check, node, answer)
      if (proven && !(await provesAll(signed))) throw new NodeFailureError(signed.blame())
      const latencyMs = performance.now() - startedMs
      input.onNodeAnswer({ index: node.index, name: node.name, latencyMs, checked: proven ? 'proofs' : 'signature' })
      return signed
    },
    onOutrun: (node, elapsedMs) => records.outrun(node.index, elapsedMs),
    onFailure: (failure) => {
      if (isMisbehaviour(failure)) records.misbehaved(failure.index)
      else records.failed(failure.index, limits.nodeTimeoutMs)
      input.onNodeFailure(failure)
    },
  })
  return settlement.results()
}

async function provesAll(answer: SignedAnswer): Promise<boolean> {
  const pause = createPauses()
  for (const at of answer.items.keys()) {
    await pause()
    if (!answer.proves(at)) return false
  }
  return true
}

export interface AskInput {
  readonly check: AnswerCheck
  /** What the request asks, in its order. */
  readonly items: readonly AskedItem[]
  readonly proofs: ProofMode
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
}

/** An answer that is not opened yet, and what it is an answer to. */
interface Reply {
  readonly check: AnswerCheck
  readonly answer: Answer
  readonly startedMs: number
}

/**
 * A node refuses a request it has seen as `replayed`. It can have seen ours only from somebody we sent it to, so a lying node could
 * keep us from the honest ones by passing it on to them first: such a node is asked once more, under an id that only it is told.
 */
async function askOne(input: AskInput, node: ClusterNode, signal: AbortSignal): Promise<Omit<Reply, 'startedMs'>> {
  const { check, transport } = input
  const reply = await exchange(transport, check, node, signal)
  if (reply.kind === 'answer' || reply.code !== 'replayed') return { check, answer: readAnswer(node, reply) }
  const request = await input.signAgain().catch((error: unknown) => {
    throw new NodeFailureError(describe(node, 'replayed', 'refused: replayed; no new request could be signed'), error)
  })
  const fresh = { ...check, request }
  return { check: fresh, answer: readAnswer(node, await exchange(transport, fresh, node, signal)) }
}

async function exchange(
  transport: Transport,
  check: AnswerCheck,
  node: ClusterNode,
  signal: AbortSignal,
): Promise<TransportReply> {
  const maxReplyBytes =
    check.requesterKey.blockBytes + REPLY_OVERHEAD_BYTES + check.request.points.length * BATCH_ITEM_BYTES
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
