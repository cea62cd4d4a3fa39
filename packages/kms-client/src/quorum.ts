import type { ParticipantIndex } from '@tkms/dkg'

/**
 * Whom to ask and when to stop: a pure reducer without clock, network or randomness.
 * It keeps `needed + spare` promising answers under way, replaces every failed or slow node by the next candidate,
 * stops at `needed` verified answers, and gives up as soon as they can no longer be had.
 */

type NodePhase = 'waiting' | 'asked' | 'slow' | 'verified' | 'failed'

export interface QuorumState {
  /** Verified answers that decide: t. */
  readonly needed: number
  /** How many more than `needed` are asked at once. */
  readonly spare: number
  /** Best first. */
  readonly order: readonly ParticipantIndex[]
  readonly phases: ReadonlyMap<ParticipantIndex, NodePhase>
  readonly outcome: 'open' | 'reached' | 'lost'
}

export type QuorumEvent =
  /** The node's answer counts. */
  | { readonly type: 'verified'; readonly index: ParticipantIndex }
  /** Refused, unreachable, timed out or wrong, also if it counted until now: never asked again. */
  | { readonly type: 'failed'; readonly index: ParticipantIndex }
  /** Slower than it should be: somebody else is asked too, its answer still counts. */
  | { readonly type: 'slow'; readonly index: ParticipantIndex }
  /** No time is left. */
  | { readonly type: 'deadline' }

export type QuorumAction =
  | { readonly type: 'ask'; readonly index: ParticipantIndex }
  | { readonly type: 'cancel'; readonly index: ParticipantIndex }
  | { readonly type: 'reached'; readonly indices: readonly ParticipantIndex[] }
  | { readonly type: 'lost' }

export interface QuorumStep {
  readonly state: QuorumState
  readonly actions: readonly QuorumAction[]
}

/**
 * @param order distinct candidates, best first
 * @param needed t >= 1
 * @param spare >= 0
 */
export function openQuorum(input: {
  readonly order: readonly ParticipantIndex[]
  readonly needed: number
  readonly spare: number
}): QuorumStep {
  const phases = new Map<ParticipantIndex, NodePhase>(input.order.map((index) => [index, 'waiting']))
  return advance({ needed: input.needed, spare: input.spare, order: [...phases.keys()], phases, outcome: 'open' })
}

/** Total: events about unknown, unasked or finished nodes, and all events after the outcome, change nothing. */
export function stepQuorum(state: QuorumState, event: QuorumEvent): QuorumStep {
  if (state.outcome !== 'open') return { state, actions: [] }
  if (event.type === 'deadline') return conclude(state, 'lost')
  const phase = state.phases.get(event.index)
  const isOpen = phase === 'asked' || phase === 'slow' || (phase === 'verified' && event.type === 'failed')
  if (!isOpen) return { state, actions: [] }
  return advance({ ...state, phases: new Map(state.phases).set(event.index, event.type) })
}

const inPhase = (state: QuorumState, ...phases: readonly NodePhase[]): ParticipantIndex[] =>
  state.order.filter((index) => phases.includes(state.phases.get(index) ?? 'failed'))

function advance(state: QuorumState): QuorumStep {
  const verified = inPhase(state, 'verified').length
  if (verified >= state.needed) return conclude(state, 'reached')
  const waiting = inPhase(state, 'waiting')
  if (verified + inPhase(state, 'asked', 'slow').length + waiting.length < state.needed) return conclude(state, 'lost')
  const promising = verified + inPhase(state, 'asked').length
  const chosen = waiting.slice(0, Math.max(0, state.needed + state.spare - promising))
  const phases = new Map(state.phases)
  for (const index of chosen) phases.set(index, 'asked')
  return { state: { ...state, phases }, actions: chosen.map((index) => ({ type: 'ask', index })) }
}

function conclude(state: QuorumState, outcome: 'reached' | 'lost'): QuorumStep {
  const cancelled = inPhase(state, 'asked', 'slow').map((index): QuorumAction => ({ type: 'cancel', index }))
  const verdict: QuorumAction =
    outcome === 'lost' ? { type: 'lost' } : { type: 'reached', indices: inPhase(state, 'verified') }
  return { state: { ...state, outcome }, actions: [verdict, ...cancelled] }
}
