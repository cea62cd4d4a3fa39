import { ForkMap } from './fork.ts'
import { storeWaiting } from './inbox.ts'
import { leaderOf } from './join.ts'
import { isDealer, isReceiver } from './parties.ts'
import { tellViewFailed } from './progress.ts'
import { destroyDealing } from './seeds.ts'
import type { SignedMessage } from './signed-message.ts'
import { emptyInbox, type Inbox } from './state.ts'
import type { Turn } from './turn.ts'

/** From one view to the next (protocol 4, "View change"). */
export function advanceView(turn: Turn): void {
  const { state } = turn
  if (state.standing !== 'active' || state.phase.name === 'left') return
  const target = jumpTarget(turn)
  if (target > state.view) return enterView(turn, target)
  if (!turn.isReceiver || joinedFromHere(turn) < turn.quorum) return
  turn.startTimer('view', 5 * turn.phaseMs)
  if (state.fired.has('view') || isLeaderLost(turn)) {
    tellViewFailed(turn)
    enterView(turn, state.view + 1)
  }
}

/** f + 1 receivers joined views above ours: one of them is honest, so the (f+1)-th highest is where we are waited for. */
function jumpTarget({ state, config, parties, self }: Turn): number {
  if (state.ahead.size <= config.f) return 0
  const views = [...state.ahead]
    .filter(([from, messages]) => from !== self && isReceiver(parties, from) && hasJoin(messages))
    .map(([, [first]]) => first?.header.view ?? 0)
    .toSorted((left, right) => right - left)
  return views[config.f] ?? 0
}

const hasJoin = (messages: readonly SignedMessage[]): boolean => messages.some(({ header }) => header.name === 'join')

/** Receivers whose JOIN for this view or a later one is here, this node included. */
function joinedFromHere({ state, parties }: Turn): number {
  const { joins } = state.inbox
  let joined = 0
  for (const from of joins.keys()) if (isReceiver(parties, from)) joined += 1
  for (const [from, messages] of state.ahead)
    if (!joins.has(from) && isReceiver(parties, from) && hasJoin(messages)) joined += 1
  return joined
}

/** A leader that is proven faulty need not be waited for, unless this node has voted for what it proposed. */
function isLeaderLost({ state }: Turn): boolean {
  const { name } = state.phase
  return state.faults.has(state.leader) && name !== 'voting' && name !== 'committing'
}

/**
 * Leaves the current view for a higher one: from here on this node signs no VOTE or COMMIT of a lower view (the promise of R0).
 * Receiver keys and PREPARED shares stay, since any outcome may be proposed again.
 */
export function enterView(turn: Turn, view: number): void {
  const { state } = turn
  leaveView(turn)
  state.view = view
  state.leader = leaderOf(turn.config, state.ceremony, view)
  state.phase = { name: 'seeding' }
  turn.mustPersist = true
  turn.startTimer('retransmit', state.params.timings.retransmitMs)
  storeWaiting(turn)
  askForSeeds(turn)
}

/** Keeps of the current view what can still certify its outcome, and wipes what it alone needed. */
function leaveView(turn: Turn): void {
  const { state } = turn
  const { phase, view, leader } = state
  if (phase.name === 'joining' && phase.dealing !== undefined) destroyDealing(phase.dealing)
  for (const verdict of state.verdicts.values()) if (verdict.kind === 'good') verdict.share?.destroy()
  const inbox: Inbox = { ...state.inbox, joins: new ForkMap(), vouches: new ForkMap(), complaints: new ForkMap() }
  state.past.set(view, { view, leader, inbox, ...('session' in phase && { session: phase.session }) })
  state.inbox = emptyInbox()
  state.verdicts.clear()
  state.wanted.clear()
  state.judged.clear()
  turn.stopTimers()
  state.retransmits = 0
}

/** R0 begins with fresh seeds for what this node does in the view: none before it knows what it signed in earlier lives. */
export function askForSeeds(turn: Turn): void {
  const { state, parties, self } = turn
  if (state.phase.name !== 'seeding' || state.standing !== 'active' || !turn.isConfirmed || state.wantsToAbandon) return
  turn.emit({
    type: 'need-seeds',
    view: state.view,
    dealing: isDealer(parties, self),
    receiver: isReceiver(parties, self),
  })
}

/** This node acts no more: its promises to do so are kept by what it keeps. */
export function leaveForGood(turn: Turn): void {
  const { state } = turn
  if (turn.isOver) return
  leaveView(turn)
  // The votes and commits of its view may still certify what others proposed: it witnesses that, and signs nothing.
  const record = state.past.get(state.view)
  if (record !== undefined) {
    state.inbox = record.inbox
    state.past.delete(state.view)
  }
  state.phase = { name: 'left' }
  turn.mustPersist = true
  turn.startTimer('retransmit', state.params.timings.retransmitMs)
}
