import type { ClusterNode, ParticipantIndex } from '@tkms/dkg'
import { clientError, type NodeFailure, type NodeFailureCode, NodeFailureError, QuorumError } from './errors.ts'
import { openQuorum, type QuorumStep, stepQuorum } from './quorum.ts'

/** Asked beside the needed ones, so that one silent or lying node costs no time. */
const SPARE_NODES = 1

/** Why a call is aborted. Nobody reads it, and an AbortController makes a costly one of its own for every call that has none. */
const GIVEN_UP = clientError('cancelled', 'this node is not waited for')

export interface GatherInput<R, T> {
  /** Best first. */
  readonly nodes: readonly ClusterNode[]
  /** Verified answers needed: t. */
  readonly needed: number
  /** One node's time; its call is given up afterwards. */
  readonly nodeTimeoutMs: number
  /** Everything together. */
  readonly totalTimeoutMs: number
  /** After this time without an answer another node is asked too. */
  readonly hedgeAfterMs: (node: ClusterNode) => number
  readonly signal: AbortSignal | undefined
  /**
   * Asks one node. A NodeFailureError says why there is no reply; any other error is a bug and ends the gathering.
   * It may ignore its signal: nobody waits for it once it has fired.
   */
  readonly ask: (node: ClusterNode, signal: AbortSignal) => Promise<R>
  /**
   * Verifies one reply; errors as of `ask`. Costs more than asking, so a reply waits unopened for as long as those verified and those
   * being verified would be enough together.
   */
  readonly open: (node: ClusterNode, reply: R) => Promise<T>
  /**
   * Looks at the answers together once there are enough. @returns the failures of those that are found wrong only now: they count no
   * more, others are asked in their place, and it is called again. What it throws ends the gathering.
   * @param isOver whether the gathering has ended meanwhile, and nobody waits for what it finds
   */
  readonly judge: (answers: ReadonlyMap<ParticipantIndex, T>, isOver: () => boolean) => Promise<readonly NodeFailure[]>
  /** Told of each node that was asked and not waited for, since others were quicker, with its time until then. Not of one that replied. */
  readonly onOutrun: (node: ClusterNode, elapsedMs: number) => void
  /** Told of each failed node once, as it happens. What it throws ends the gathering. */
  readonly onFailure: (failure: NodeFailure) => void
}

interface Call {
  readonly controller: AbortController
  readonly startedMs: number
  readonly timers: readonly ReturnType<typeof setTimeout>[]
}

/**
 * Runs the quorum of `quorum.ts` against real nodes and real time. Bounded by `totalTimeoutMs` whatever the nodes do;
 * when it settles, every call under way has been aborted and every timer cleared.
 * @returns exactly `needed` verified answers
 * @throws QuorumError, KmsError `cancelled`
 */
export async function gather<R, T>(input: GatherInput<R, T>): Promise<ReadonlyMap<ParticipantIndex, T>> {
  const answers = new Map<ParticipantIndex, T>()
  /** Replies to open, in the order in which they came. */
  const replies = new Map<ParticipantIndex, R>()
  const opening = new Set<ParticipantIndex>()
  const failures = new Map<ParticipantIndex, NodeFailure>()
  const calls = new Map<ParticipantIndex, Call>()
  const nodes = new Map(input.nodes.map((node) => [node.index, node]))
  const { promise, resolve, reject } = Promise.withResolvers<ReadonlyMap<ParticipantIndex, T>>()
  let step: QuorumStep = openQuorum({ order: [...nodes.keys()], needed: input.needed, spare: SPARE_NODES })

  function failed(node: ClusterNode, failure: NodeFailure): void {
    if (!calls.has(node.index)) return
    endCall(node.index)
    exclude(failure)
    openReplies()
  }

  function exclude(failure: NodeFailure): void {
    failures.set(failure.index, failure)
    try {
      input.onFailure(failure)
    } catch (error) {
      return reject(error)
    }
    apply(stepQuorum(step.state, { type: 'failed', index: failure.index }))
  }

  function verified(node: ClusterNode, answer: T): void {
    if (!calls.has(node.index)) return
    answers.set(node.index, answer)
    if (answers.size < input.needed) return judged(node, [])
    // Its call is under way until it is judged: as many answers as are needed are there, so nothing else is opened meanwhile.
    const isOver = (): boolean => !calls.has(node.index)
    input.judge(answers, isOver).then((wrong) => (isOver() ? undefined : judged(node, wrong)), reject)
  }

  function judged(node: ClusterNode, wrong: readonly NodeFailure[]): void {
    endCall(node.index)
    for (const { index } of wrong) answers.delete(index)
    for (const failure of wrong) exclude(failure)
    if (answers.has(node.index)) apply(stepQuorum(step.state, { type: 'verified', index: node.index }))
    openReplies()
  }

  function replied(node: ClusterNode, reply: R): void {
    const call = calls.get(node.index)
    if (call === undefined) return
    for (const timer of call.timers) clearTimeout(timer)
    replies.set(node.index, reply)
    openReplies()
  }

  function openReplies(): void {
    for (const [index, reply] of replies) {
      if (answers.size + opening.size >= input.needed) return
      replies.delete(index)
      const node = nodes.get(index)
      if (node === undefined || !calls.has(index)) continue
      opening.add(index)
      input.open(node, reply).then(
        (answer) => opened(node, () => verified(node, answer)),
        (error: unknown) => opened(node, () => refused(node, error)),
      )
    }
  }

  function opened(node: ClusterNode, then: () => void): void {
    opening.delete(node.index)
    then()
  }

  function refused(node: ClusterNode, error: unknown): void {
    if (error instanceof NodeFailureError) failed(node, error.failure)
    else if (calls.has(node.index)) reject(error)
  }

  function endCall(index: ParticipantIndex): void {
    const call = calls.get(index)
    calls.delete(index)
    for (const timer of call?.timers ?? []) clearTimeout(timer)
    call?.controller.abort(GIVEN_UP)
  }

  function startCall(node: ClusterNode): void {
    const controller = new AbortController()
    const slow = (): void => apply(stepQuorum(step.state, { type: 'slow', index: node.index }))
    const late = (): void => failed(node, describe(node, 'timed-out', `no answer in ${input.nodeTimeoutMs} ms`))
    calls.set(node.index, {
      controller,
      startedMs: performance.now(),
      timers: [setTimeout(late, input.nodeTimeoutMs), setTimeout(slow, input.hedgeAfterMs(node))],
    })
    input.ask(node, controller.signal).then(
      (reply) => replied(node, reply),
      (error: unknown) => refused(node, error),
    )
  }

  function apply(next: QuorumStep): void {
    step = next
    for (const action of next.actions) {
      const node = 'index' in action ? nodes.get(action.index) : undefined
      if (action.type === 'ask' && node !== undefined) startCall(node)
      if (action.type === 'cancel' && node !== undefined) outrun(node)
      if (action.type === 'reached') resolve(answers)
      if (action.type === 'lost') reject(new QuorumError({ needed: input.needed, got: answers.size, causes: causes() }))
    }
  }

  function outrun(node: ClusterNode): void {
    const call = calls.get(node.index)
    if (call !== undefined && answers.size >= input.needed && !replies.has(node.index))
      input.onOutrun(node, performance.now() - call.startedMs)
  }

  function causes(): NodeFailure[] {
    const code = timedOut ? 'timed-out' : 'not-needed'
    const detail = timedOut ? `no answer in ${input.totalTimeoutMs} ms` : 'too few other nodes were left'
    const unanswered = [...calls.keys()].flatMap((index) => nodes.get(index) ?? [])
    return [...failures.values(), ...unanswered.map((node) => describe(node, code, detail))]
  }

  const cancel = (): void =>
    reject(clientError('cancelled', 'the caller cancelled', { cause: input.signal?.reason as unknown }))
  let timedOut = false
  const deadline = setTimeout(() => {
    timedOut = true
    apply(stepQuorum(step.state, { type: 'deadline' }))
  }, input.totalTimeoutMs)
  input.signal?.addEventListener('abort', cancel, { once: true })
  try {
    if (input.signal?.aborted === true) cancel()
    else apply(step)
    return await promise
  } finally {
    clearTimeout(deadline)
    input.signal?.removeEventListener('abort', cancel)
    for (const index of calls.keys()) endCall(index)
  }
}

/** A node's cause without further material. */
export function describe(node: ClusterNode, code: NodeFailureCode, detail: string): NodeFailure {
  return { index: node.index, name: node.name, code, detail }
}
