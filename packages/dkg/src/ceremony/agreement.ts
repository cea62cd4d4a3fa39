import { attempt, equalBytes } from '../primitives/codec.ts'
import type { ParticipantIndex, SharingId } from '../primitives/types.ts'
import { findDeal, keepOwn, want } from './inbox.ts'
import type { Session } from './join.ts'
import { decodeCommit, decodeVote, encodePropose, encodeVote } from './messages.ts'
import { encodeOutcome, type Outcome, outcomeHash } from './outcome.ts'
import { missums, readPropose } from './proposal.ts'
import { combineDealtShares, computeOutcome } from './qualify.ts'
import type { MemberSignature } from './certificate.ts'
import type { SignedMessage } from './signed-message.ts'
import type { Turn } from './turn.ts'
import { goodDealings } from './vouching.ts'

/** R4 and R5: the leader proposes, holders vote, everybody who sees Q votes commits. */
export function advanceAgreement(turn: Turn): void {
  if (turn.isLeader) propose(turn)
  judgeProposal(turn)
  vote(turn)
  commit(turn)
}

/** The leader proposes when every receiver of the JOINSET has vouched and no vouched DEAL is still on its way, or after T_phase. */
function propose(turn: Turn): void {
  const { state } = turn
  const { phase, inbox, fired } = state
  if (phase.name !== 'vouching' || state.sent.has('propose')) return
  const vouched = [...phase.session.receivers.keys()].every((index) => inbox.vouches.has(index))
  if ((!vouched || state.wanted.size > 0) && !fired.has('vouch')) return
  const outcome = computeOutcome(turn, phase.session, goodDealings(turn))
  if (outcome === undefined) return
  keepOwn(turn, turn.send('propose', encodePropose({ mode: 'fresh', outcome: encodeOutcome(outcome) })))
}

/** A fresh outcome of this session, as its leader put it: consistent in itself, its sums not yet recomputed. */
export interface Proposal {
  readonly bytes: Uint8Array
  readonly outcome: Outcome
  readonly hash: SharingId
}

export function readProposal(turn: Turn, session: Session): Proposal | undefined {
  const { state, ports } = turn
  const message = state.inbox.propose
  if (message === undefined) return undefined
  const reading = readPropose(ports.curve, state.params.spec, message)
  if (reading.kind !== 'fresh' || !equalBytes(reading.outcome.sid, session.sid)) return undefined
  return { bytes: reading.bytes, outcome: reading.outcome, hash: outcomeHash(reading.bytes) }
}

/** A PROPOSE that contradicts itself, or the dealings it names, proves its leader faulty (E5). */
function judgeProposal(turn: Turn): void {
  const { state, ports } = turn
  const message = state.inbox.propose
  if (message === undefined || state.faults.has(state.leader) || state.judged.has(PROPOSAL_SUMS)) return
  const { spec } = state.params
  const reading = readPropose(ports.curve, spec, message)
  if (reading.kind === 'contradiction') turn.blame('E5', state.leader, [message])
  if (reading.kind !== 'fresh') return
  const deals = reading.outcome.dealings.flatMap((ref) => findDeal(state.inbox, ref.dealer, ref.dealHash) ?? [])
  if (deals.length !== reading.outcome.dealings.length) return
  state.judged.add(PROPOSAL_SUMS)
  // Whoever has the PROPOSE pulls the dealings it names: they are not sent along.
  if (missums(ports.curve, spec, reading.outcome, deals)) turn.blame('E5', state.leader, [message, ...deals], [message])
}

/** Key of `state.judged`: the sums of the PROPOSE in the inbox were checked. */
const PROPOSAL_SUMS = 'propose'

/** The voter recomputes OUT itself and votes only for byte-identical bytes whose share it holds (protocol R4). */
function vote(turn: Turn): void {
  const { state } = turn
  const { phase } = state
  if (phase.name !== 'vouching') return
  const proposal = readProposal(turn, phase.session)
  if (proposal === undefined) return
  const { dealings } = proposal.outcome
  for (const { dealer, dealHash } of dealings)
    if (phase.session.dealers.has(dealer)) want(turn, dealer, dealHash, [state.leader, dealer])
  if (dealings.some(({ dealer, dealHash }) => findDeal(state.inbox, dealer, dealHash) === undefined)) return
  const outcome = computeOutcome(turn, phase.session, dealings)
  if (outcome === undefined || !equalBytes(encodeOutcome(outcome), proposal.bytes)) return
  const share = combineDealtShares(turn, outcome)
  if (share === undefined) return
  const prepared = { outcome: proposal.hash, share }
  state.phase = { name: 'voting', receiver: phase.receiver, session: phase.session, prepared }
  keepOwn(turn, turn.send('vote', encodeVote({ outcomeHash: proposal.hash, holds: true })))
}

/** CERT1 of the current view -> COMMIT, share or no share; never for a view that was left (protocol R5). */
function commit(turn: Turn): void {
  const { state } = turn
  const { phase } = state
  if (!('session' in phase) || phase.name === 'committing') return
  const proposal = readProposal(turn, phase.session)
  if (proposal === undefined || holdingVotes(turn, proposal.hash).length < turn.quorum) return
  const { session } = phase
  state.phase = {
    name: 'committing',
    session,
    outcome: proposal.hash,
    receiver: phase.receiver,
    ...(phase.name === 'voting' && { prepared: phase.prepared }),
  }
  keepOwn(turn, turn.send('commit', proposal.hash))
}

const signatureOf = ([index, message]: readonly [ParticipantIndex, SignedMessage]): MemberSignature => ({
  index,
  signature: message.signature,
})

const byIndex = (left: MemberSignature, right: MemberSignature): number => left.index - right.index

/** VOTEs with holds = 1 for this outcome, ascending by member. */
export function holdingVotes(turn: Turn, outcome: SharingId): MemberSignature[] {
  return [...turn.state.inbox.votes]
    .filter(([, message]) => {
      const payload = attempt(() => decodeVote(message.payload))
      return payload !== undefined && payload.holds && equalBytes(payload.outcomeHash, outcome)
    })
    .map(signatureOf)
    .toSorted(byIndex)
}

/** COMMITs for this outcome, ascending by member. */
export function commitsFor(turn: Turn, outcome: SharingId): MemberSignature[] {
  return [...turn.state.inbox.commits]
    .filter(([, message]) => {
      const hash = attempt(() => decodeCommit(message.payload))
      return hash !== undefined && equalBytes(hash, outcome)
    })
    .map(signatureOf)
    .toSorted(byIndex)
}
