import { bytesKey, equalBytes } from '../primitives/codec.ts'
import type { ParticipantIndex, SharingId } from '../primitives/types.ts'
import { type Cert1, createCert1 } from './cert1.ts'
import type { FlaggedSignature, MemberSignature } from './certificate.ts'
import { findDeal, want } from './deals.ts'
import { keepOwn } from './inbox.ts'
import { encodePropose, encodeVote } from './messages.ts'
import { encodeOutcome, type Outcome, outcomeHash } from './outcome.ts'
import { followsSession, missums, type ProposalReading, readPropose } from './proposal.ts'
import { combineDealtShares, computeOutcome } from './qualify.ts'
import { readVote } from './readings.ts'
import type { SignedMessage } from './signed-message.ts'
import type { CeremonyState, ViewRecord } from './state.ts'
import type { Turn } from './turn.ts'
import { goodDealings, vouchesAgree } from './vouching.ts'

/** R4 and R5: the leader proposes, holders vote, everybody who sees Q votes commits. */
export function advanceAgreement(turn: Turn): void {
  if (!turn.isReceiver) return
  if (turn.isLeader) propose(turn)
  judgeProposal(turn)
  vote(turn)
  commit(turn)
}

/** The view this node is in, as a record. */
export const currentRecord = ({ view, leader, inbox, phase }: CeremonyState): ViewRecord => ({
  view,
  leader,
  inbox,
  ...('session' in phase && { session: phase.session }),
})

/**
 * Fresh view: the leader proposes when every receiver of the JOINSET has vouched for all that it holds good itself and no DEAL is still
 * on its way, or after T_phase. Re-propose view: at once.
 */
function propose(turn: Turn): void {
  const { state } = turn
  const { phase, inbox, fired } = state
  if (phase.name === 'reproposing') {
    const { carried } = phase.session
    if (carried === undefined || inbox.propose !== undefined) return
    const payload = { mode: 're-propose', outcome: carried.outcomeBytes, cert1: carried.bytes } as const
    return keepOwn(turn, turn.send('propose', encodePropose(payload)))
  }
  if (phase.name !== 'vouching' || inbox.propose !== undefined) return
  if ((!vouchesAgree(turn, phase.session) || state.wanted.size > 0) && !fired.has('vouch')) return
  const outcome = computeOutcome(turn, phase.session, goodDealings(turn))
  if (outcome === undefined) return
  keepOwn(turn, turn.send('propose', encodePropose({ mode: 'fresh', outcome: encodeOutcome(outcome) })))
}

/** What the leader of a view put up for voting, in line with its JOINSET; sums of a fresh one are not yet recomputed. */
export interface Proposal {
  readonly bytes: Uint8Array
  readonly outcome: Outcome
  readonly hash: SharingId
  /** Re-propose view: what carried it here. */
  readonly carried?: Cert1
}

export function readProposal(turn: Turn, record: ViewRecord): Proposal | undefined {
  const message = record.inbox.propose
  if (message === undefined || record.session === undefined) return undefined
  const reading = readPropose(turn.ports, turn.parties, message)
  return followsSession(reading, record.session) ? proposalOf(reading) : undefined
}

function proposalOf(reading: ProposalReading): Proposal | undefined {
  if (reading.kind === 'fresh') {
    const { bytes, outcome } = reading
    return { bytes, outcome, hash: outcomeHash(bytes) }
  }
  if (reading.kind === 'contradiction') return undefined
  const { cert1 } = reading
  return { bytes: cert1.outcomeBytes, outcome: cert1.outcome, hash: cert1.hash, carried: cert1 }
}

/** Key of `state.judged`: the PROPOSE in the inbox was judged, with all that it names. */
const JUDGED_PROPOSAL = 'propose'

/** A PROPOSE that contradicts itself, its JOINSET, or the dealings it names, proves its leader faulty (E5). */
function judgeProposal(turn: Turn): void {
  const { state, ports, parties } = turn
  const message = state.inbox.propose
  const { session } = currentRecord(state)
  if (message === undefined || state.judged.has(JUDGED_PROPOSAL) || state.faults.has(state.leader)) return
  const reading = readPropose(ports, parties, message)
  if (reading.kind === 'contradiction') return turn.blame('E5', state.leader, [message])
  if (session !== undefined && !followsSession(reading, session))
    return turn.blame('E5', state.leader, [message, session.joinset])
  if (reading.kind !== 'fresh') return
  const deals = reading.outcome.dealings.flatMap((ref) => findDeal(state, ref.dealer, ref.dealHash) ?? [])
  if (deals.length !== reading.outcome.dealings.length) return
  state.judged.add(JUDGED_PROPOSAL)
  // Whoever has the PROPOSE pulls the dealings it names: they are not sent along.
  if (missums(ports.curve, parties, reading.outcome, deals))
    turn.blame('E5', state.leader, [message, ...deals], [message])
}

/** One VOTE per view: for a fresh outcome only with a durable share, for a carried one in any case (protocol R4). */
function vote(turn: Turn): void {
  const { state } = turn
  const { phase } = state
  if (phase.name !== 'vouching' && phase.name !== 'reproposing') return
  const proposal = readProposal(turn, currentRecord(state))
  if (proposal === undefined) return
  const holds = phase.name === 'reproposing' ? state.prepared.has(bytesKey(proposal.hash)) : prepare(turn, proposal)
  if (phase.name === 'vouching' && !holds) return
  state.phase = { name: 'voting', session: phase.session, outcome: proposal.hash }
  keepOwn(turn, turn.send('vote', encodeVote({ outcomeHash: proposal.hash, holds })))
}

/** The voter recomputes OUT itself and holds its share before it votes for byte-identical bytes (protocol R4). */
function prepare(turn: Turn, { outcome: { dealings }, bytes, hash }: Proposal): boolean {
  const { state } = turn
  if (!('session' in state.phase)) return false
  const { session } = state.phase
  for (const { dealer, dealHash } of dealings)
    if (session.dealers.has(dealer)) want(turn, dealer, dealHash, [state.leader, dealer])
  const outcome = computeOutcome(turn, session, dealings)
  if (outcome === undefined || !equalBytes(encodeOutcome(outcome), bytes)) return false
  const share = combineDealtShares(turn, outcome)
  if (share === undefined) return false
  state.prepared.set(bytesKey(hash), { outcome: hash, share })
  return true
}

/** CERT1 of the current view -> COMMIT, share or no share; never for a view that was left (protocol R5). */
function commit(turn: Turn): void {
  const { state } = turn
  const { phase } = state
  if ('session' in phase && phase.name !== 'committing') {
    const cert1 = cert1Of(turn, currentRecord(state))
    if (cert1 !== undefined) {
      state.cert1 = cert1
      state.phase = { name: 'committing', session: phase.session, outcome: cert1.hash }
      keepOwn(turn, turn.send('commit', cert1.hash))
    }
  }
  if (turn.rules.commitOnlyInOwnView) return
  for (const record of state.past.values()) {
    const cert1 = cert1Of(turn, record)
    const message = cert1 && turn.send('commit', cert1.hash, undefined, record.view)
    if (message !== undefined) record.inbox.commits.set(turn.self, message)
  }
}

/** The CERT1 of a view whose votes are here: Q holding votes for a fresh outcome, Q of any kind for a carried one (protocol R5). */
export function cert1Of(turn: Turn, record: ViewRecord): Cert1 | undefined {
  if (record.inbox.votes.size < turn.quorum) return undefined
  const proposal = readProposal(turn, record)
  if (proposal === undefined) return undefined
  const { outcome, bytes: outcomeBytes, hash, carried } = proposal
  const all = votesFor(record, hash)
  const votes = carried === undefined ? all.filter(({ holds }) => holds).map(withoutFlag) : carried.votes
  const laterVotes = carried === undefined ? [] : all
  if ((carried === undefined ? votes : laterVotes).length < turn.quorum) return undefined
  return createCert1({ view: record.view, outcome, outcomeBytes, hash, votes, laterVotes })
}

const withoutFlag = ({ index, signature }: MemberSignature): MemberSignature => ({ index, signature })
const byIndex = (left: MemberSignature, right: MemberSignature): number => left.index - right.index

/** VOTEs for this outcome, ascending by member. */
export function votesFor({ inbox }: ViewRecord, outcome: SharingId): FlaggedSignature[] {
  return [...inbox.votes]
    .flatMap(([index, message]) => {
      const { signature } = message
      const vote = readVote(message)
      const matches = vote !== undefined && equalBytes(vote.outcomeHash, outcome)
      return matches ? [{ index, holds: vote.holds, signature }] : []
    })
    .toSorted(byIndex)
}

const signatureOf = ([index, message]: readonly [ParticipantIndex, SignedMessage]): MemberSignature => ({
  index,
  signature: message.signature,
})

/** COMMITs for this outcome, ascending by member. */
export function commitsFor({ inbox }: ViewRecord, outcome: SharingId): MemberSignature[] {
  return [...inbox.commits]
    .filter(([, message]) => equalBytes(message.payload, outcome))
    .map(signatureOf)
    .toSorted(byIndex)
}
