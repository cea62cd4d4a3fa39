import type { ParticipantIndex } from '../primitives/types.ts'
import { commitsFor, holdingVotes, readProposal } from './agreement.ts'
import type { CeremonyEffect, CeremonyPhase } from './engine-types.ts'
import type { Turn } from './turn.ts'

type Progress = Extract<CeremonyEffect, { type: 'progress' }>

/** Who is waited for in the current phase, for people. */
function describe(turn: Turn): {
  phase: CeremonyPhase
  want: readonly ParticipantIndex[]
  missing: readonly ParticipantIndex[]
} {
  const { state, config } = turn
  const { phase, inbox } = state
  const everybody = config.members.map(({ index }) => index)
  const without = (
    have: ReadonlySet<ParticipantIndex>,
    want: readonly ParticipantIndex[] = everybody,
  ): ParticipantIndex[] => want.filter((index) => !have.has(index))
  const leaderOwes = { want: [state.leader], missing: [state.leader] }
  switch (phase.name) {
    case 'seeding':
      return { phase: 'seeding', want: [], missing: [] }
    case 'joining': {
      const missing = without(new Set(inbox.joins.keys()))
      const leaderSilent = inbox.joins.size >= turn.quorum && !turn.isLeader
      return leaderSilent
        ? { phase: 'joining', want: everybody, missing: [...new Set([state.leader, ...missing])] }
        : { phase: 'joining', want: everybody, missing }
    }
    case 'dealing': {
      const dealers = [...phase.session.dealers.keys()]
      return { phase: 'dealing', want: dealers, missing: without(new Set(state.verdicts.keys()), dealers) }
    }
    case 'vouching': {
      const receivers = [...phase.session.receivers.keys()]
      if (!turn.isLeader) return { phase: 'vouching', ...leaderOwes }
      return { phase: 'vouching', want: receivers, missing: without(new Set(inbox.vouches.keys()), receivers) }
    }
    case 'observing':
      return { phase: 'vouching', ...leaderOwes }
    case 'voting': {
      const proposal = readProposal(turn, phase.session)
      const votes = proposal === undefined ? [] : holdingVotes(turn, proposal.hash)
      return { phase: 'voting', want: everybody, missing: without(new Set(votes.map(({ index }) => index))) }
    }
    case 'committing': {
      const commits = commitsFor(turn, phase.outcome).map(({ index }) => index)
      return { phase: 'committing', want: everybody, missing: without(new Set(commits)) }
    }
    case 'left':
      return { phase: 'stopped', want: [], missing: [] }
    case 'fetching': {
      const dealers = phase.outcome.dealings.map(({ dealer }) => dealer)
      const missing = [...state.wanted.values()].map(({ dealer }) => dealer)
      return { phase: 'fetching', want: dealers, missing }
    }
    case 'complete':
    case 'archived':
      return { phase: 'complete', want: [], missing: [] }
  }
}

/** Emits progress when it changed since it was last told. */
export function tellProgress(turn: Turn): void {
  const { phase, want, missing } = describe(turn)
  const progress: Progress = {
    type: 'progress',
    phase,
    view: turn.state.view,
    have: want.length - missing.filter((index) => want.includes(index)).length,
    want: want.length,
    missing,
  }
  const key = `${phase} ${progress.have}/${progress.want} ${missing.join()}`
  if (key === turn.state.progress) return
  turn.state.progress = key
  turn.emit(progress)
}

const names = (indices: readonly ParticipantIndex[]): string =>
  indices.length === 1 ? `node ${indices[0]}` : `nodes ${indices.join(', ')}`

/** Why a view ended without an outcome, in a sentence that names who is missing. */
export function tellStopped(turn: Turn): void {
  const { state } = turn
  const { phase, missing } = describe(turn)
  const others = missing.filter((index) => index !== state.leader)
  const reasons: Record<CeremonyPhase, string> = {
    seeding: 'this node never joined',
    joining: `its leader, node ${state.leader}, sent no JOINSET${others.length > 0 ? `; no JOIN from ${names(others)} either` : ''}`,
    dealing: `no dealing from ${names(missing)}`,
    vouching: `its leader, node ${state.leader}, proposed no outcome that this node can vote for`,
    voting: `too few votes: none from ${names(missing)}`,
    committing: `too few commits: none from ${names(missing)}`,
    fetching: `certified, but the dealings of ${names(missing)} cannot be fetched`,
    complete: 'it is complete',
    stopped: 'it already stopped',
  }
  const reason = `the ceremony stopped in view ${state.view} while ${phase}: ${reasons[phase]}`
  turn.emit({ type: 'stopped', reason, leader: state.leader, missing })
}
