import type { ParticipantIndex } from '../primitives/types.ts'
import { commitsFor, currentRecord, votesFor } from './agreement.ts'
import type { CeremonyEffect, CeremonyPhase } from './engine-types.ts'
import { everybody } from './parties.ts'
import type { Turn } from './turn.ts'

type Progress = Extract<CeremonyEffect, { type: 'progress' }>

/** Who is waited for in the current phase, for people. */
interface Waiting {
  readonly phase: CeremonyPhase
  readonly want: readonly ParticipantIndex[]
  readonly missing: readonly ParticipantIndex[]
}

const nobody = (phase: CeremonyPhase): Waiting => ({ phase, want: [], missing: [] })

function waitingFor(
  phase: CeremonyPhase,
  want: readonly ParticipantIndex[],
  have: Iterable<ParticipantIndex>,
): Waiting {
  const here = new Set(have)
  return { phase, want, missing: want.filter((index) => !here.has(index)) }
}

function describe(turn: Turn): Waiting {
  const { state, config } = turn
  const { phase, inbox } = state
  const members = config.members.map(({ index }) => index)
  // What it signed in an earlier life stands, whoever has answered since.
  if (!turn.isConfirmed && !turn.isOver && state.standing !== 'abandoned')
    return waitingFor(state.wantsToAbandon ? 'leaving' : 'checking', members, [...state.answered, turn.self])
  switch (phase.name) {
    case 'seeding':
      return nobody('seeding')
    case 'joining':
      return joining(turn)
    case 'dealing':
      return waitingFor('dealing', [...phase.session.dealers.keys()], state.verdicts.keys())
    case 'vouching':
      if (turn.isLeader) return waitingFor('vouching', [...phase.session.receivers.keys()], inbox.vouches.keys())
      return waitingFor('vouching', [state.leader], [])
    case 'observing':
    case 'dealt':
    case 'reproposing':
      return waitingFor('proposing', [state.leader], [])
    case 'voting': {
      const votes = votesFor(currentRecord(state), phase.outcome)
      return waitingFor(
        'voting',
        members,
        votes.map(({ index }) => index),
      )
    }
    case 'committing': {
      const commits = commitsFor(currentRecord(state), phase.outcome)
      return waitingFor(
        'committing',
        members,
        commits.map(({ index }) => index),
      )
    }
    case 'fetching': {
      const missing = [...state.wanted.values()].map(({ dealer }) => dealer)
      return { phase: 'fetching', want: phase.outcome.dealings.map(({ dealer }) => dealer), missing }
    }
    case 'left':
      return state.standing === 'abandoned' ? waitingFor('left', members, state.abandons.keys()) : nobody('left')
    case 'complete':
    case 'archived':
      return nobody('complete')
    case 'abandoned':
      return nobody('abandoned')
  }
}

/** The leader is waited for once it has what it needs, and every party that may join. */
function joining(turn: Turn): Waiting {
  const { state } = turn
  const waiting = waitingFor('joining', everybody(turn.parties), state.inbox.joins.keys())
  const leaderSilent = state.inbox.joins.size >= turn.quorum && !turn.isLeader
  if (!leaderSilent) return waiting
  return { ...waiting, missing: [...new Set([state.leader, ...waiting.missing])] }
}

/** Emits progress when it changed since it was last told. */
export function tellProgress(turn: Turn): void {
  const { phase, want, missing } = describe(turn)
  const { view } = turn.state
  const wanted = new Set(want)
  const progress: Progress = {
    type: 'progress',
    phase,
    view,
    have: want.length - missing.filter((index) => wanted.has(index)).length,
    want: want.length,
    missing,
  }
  const key = `${view} ${phase} ${progress.have}/${progress.want} ${missing.join()}`
  if (key === turn.state.progress) return
  turn.state.progress = key
  turn.emit(progress)
}

const names = (indices: readonly ParticipantIndex[]): string =>
  indices.length === 1 ? `node ${indices[0]}` : `nodes ${indices.join(', ')}`

/** Why a view ended without an outcome, in a sentence that names who is missing. */
export function tellViewFailed(turn: Turn): void {
  const { state } = turn
  const { leader, view } = state
  const { phase, missing } = describe(turn)
  const others = missing.filter((index) => index !== leader)
  const also = others.length === 0 ? '' : `; no JOIN from ${names(others)} either`
  const reasons: Partial<Record<CeremonyPhase, string>> = {
    joining: `its leader, node ${leader}, sent no JOINSET${also}`,
    dealing: `no dealing from ${names(missing)}`,
    vouching: `its leader, node ${leader}, proposed no outcome that this node can vote for`,
    proposing: `its leader, node ${leader}, proposed no outcome`,
    voting: `too few votes: none from ${names(missing)}`,
    committing: `too few commits: none from ${names(missing)}`,
  }
  const proven = state.faults.has(leader) ? `its leader, node ${leader}, is proven faulty` : undefined
  const reason = `view ${view} ended while ${phase}: ${proven ?? reasons[phase] ?? 'it took too long'}`
  turn.emit({ type: 'view-failed', view, reason, leader, missing })
}
