import { attempt, bytesKey, equalBytes } from '../primitives/codec.ts'
import type { Secret } from '../primitives/secret.ts'
import { authorizationStrength } from './authorization.ts'
import { cert1Of, commitsFor, currentRecord } from './agreement.ts'
import { decodeCertificate, encodeCertificate } from './certificate.ts'
import { type CheckedKey, checkCertificate } from './check-certificate.ts'
import { createComplaint } from './complaint.ts'
import { openDealtShare } from './dealing.ts'
import { findDeal, want } from './deals.ts'
import { joinCheckOf } from './inbox.ts'
import { openSession, type Session } from './join.ts'
import { isAddressed } from './joining.ts'
import { type DealingRef, type DealPayload, encodeComplain } from './messages.ts'
import type { Outcome } from './outcome.ts'
import { everybody, isKeyOf } from './parties.ts'
import { sumShares } from './qualify.ts'
import { readDeal } from './readings.ts'
import { destroyDealing, destroyReceiver, type ReceiverSecrets } from './seeds.ts'
import type { SignedMessage } from './signed-message.ts'
import type { ViewRecord } from './state.ts'
import type { Turn } from './turn.ts'

/** CERT2: Q COMMITs for one outcome in one view, this one or one that was left (protocol R5). */
export function advanceCompletion(turn: Turn): void {
  const { state } = turn
  if (state.phase.name === 'fetching') return fetchShare(turn)
  for (const record of [currentRecord(state), ...state.past.values()]) {
    const certificate = assemble(turn, record)
    if (certificate !== undefined) return accept(turn, certificate)
  }
}

function assemble(turn: Turn, record: ViewRecord): Uint8Array | undefined {
  if (record.inbox.commits.size < turn.quorum) return undefined
  const cert1 = cert1Of(turn, withSession(turn, record))
  if (cert1 === undefined) return undefined
  const commits = commitsFor(record, cert1.hash)
  if (commits.length < turn.quorum) return undefined
  const { spec, authorizations = [] } = turn.state.params
  if (spec.kind !== 'keygen' && authorizations.length === 0) return undefined
  const { outcome, votes, laterVotes, view } = cert1
  return encodeCertificate({ spec, outcome, authorizations, votes, view, laterVotes, commits })
}

/** A node that has left its view for good has no session any more: the JOINSET tells which one the others vote in. */
function withSession(turn: Turn, record: ViewRecord): ViewRecord {
  const { joinset, propose, votes } = record.inbox
  if (turn.state.phase.name !== 'left' || record.session !== undefined) return record
  if (joinset === undefined || propose === undefined || votes.size < turn.quorum) return record
  const session = openSession(joinCheckOf(turn), joinset)
  return session === undefined ? record : { ...record, session }
}

/** A certificate from anybody: verified as a client would, valid for ever, in whatever phase this node is. */
export function accept(turn: Turn, bytes: Uint8Array): void {
  const { state, ports, parties } = turn
  const { phase } = state
  if (turn.isOver) return
  const key = attempt(() => fullyAuthorized(turn, checkCertificate(ports.curve, ports.verify, bytes)))
  if (key === undefined || !equalBytes(key.ceremony, state.ceremony) || !isKeyOf(parties, key.groupKey)) return
  turn.mustPersist = true
  if (phase.name === 'joining' && phase.dealing !== undefined) destroyDealing(phase.dealing)
  const prepared = state.prepared.get(bytesKey(key.sharingId))
  if (prepared !== undefined) return complete(turn, key, prepared.share)
  const { outcome, votes } = decodeCertificate(ports.curve, key.certificate)
  if (!mayHoldShare(turn, outcome)) return complete(turn, key)
  state.phase = { name: 'fetching', key, outcome }
  state.wanted.clear()
  for (const { dealer, dealHash } of outcome.dealings)
    want(turn, dealer, dealHash, [...votes.map(({ index }) => index), dealer])
  fetchShare(turn)
}

/**
 * The same certificate with the AUTH that this node knows, where that is full and the one received is not: who assembles a certificate
 * chooses which AUTH signatures go into it, and must not make a hand-over look degraded by leaving some out.
 */
function fullyAuthorized({ state, ports }: Turn, key: CheckedKey): CheckedKey {
  const { spec, authorizations = [] } = state.params
  if (key.authorization !== 'degraded' || !equalBytes(key.ceremony, state.ceremony)) return key
  if (authorizationStrength(ports.verify, spec, authorizations) !== 'full') return key
  const certificate = encodeCertificate({ ...decodeCertificate(ports.curve, key.certificate), authorizations })
  return checkCertificate(ports.curve, ports.verify, certificate)
}

/** Whether something of this outcome may have been dealt to a receiver key of this node. */
function mayHoldShare(turn: Turn, { view, sid }: Outcome): boolean {
  if (!turn.state.receiverKeys.has(view)) return false
  const session = sessionOf(turn, sid)
  return session === undefined || isAddressed(turn, session)
}

function sessionOf(turn: Turn, sid: Uint8Array): Session | undefined {
  const { state } = turn
  const sessions = [currentRecord(state), ...state.past.values()].flatMap(({ session }) => session ?? [])
  return sessions.find((session) => equalBytes(session.sid, sid))
}

/** A receiver without its share pulls the dealings of QUAL and decrypts with its ek (protocol R5). */
function fetchShare(turn: Turn): void {
  const { state } = turn
  if (state.phase.name !== 'fetching') return
  const { key, outcome } = state.phase
  const here = outcome.dealings.every(({ dealer, dealHash }) => findDeal(state, dealer, dealHash) !== undefined)
  if (!here) return
  const receiver = state.receiverKeys.get(outcome.view)
  complete(turn, key, receiver && openFetched(turn, outcome, receiver))
}

/** Undefined when nothing was dealt to this node, or a dealing is bad for it: then it must be repaired. */
function openFetched(turn: Turn, outcome: Outcome, receiver: ReceiverSecrets): Secret | undefined {
  const { curve } = turn.ports
  const { sid, dealings } = outcome
  const receiverKey = curve.mulBaseSecret(receiver.key)
  const shares: Secret[] = []
  for (const ref of dealings) {
    const { dealer, dealHash } = ref
    const message = findDeal(turn.state, dealer, dealHash)
    const deal = message && readDeal(turn.ports, turn.parties, message)
    if (message === undefined || deal === undefined) continue
    const shared = curve.mulSecret(deal.ephemeral, receiver.key)
    const share = openDealtShare(curve, deal, { sid, dealer, receiver: turn.self, receiverKey, shared })
    if (share === undefined) complainLate(turn, { ref, message, deal, view: outcome.view, sid, receiver })
    else shares.push(share)
  }
  const share = shares.length === dealings.length ? sumShares(turn, outcome, shares) : undefined
  for (const part of shares) part.destroy()
  return share
}

interface BadDealing {
  readonly ref: DealingRef
  readonly message: SignedMessage
  readonly deal: DealPayload
  readonly view: number
  readonly sid: Uint8Array
  readonly receiver: ReceiverSecrets
}

/** A certified dealing that is bad for this node: the outcome is fixed, the dealer is named all the same (protocol R5, row 15). */
function complainLate(turn: Turn, bad: BadDealing): void {
  const { ref, message, deal, view, sid, receiver } = bad
  const session = sessionOf(turn, sid)
  if (session === undefined || !isAddressed(turn, session)) return
  const accusation = { sid, dealer: ref.dealer, receiver: turn.self, dealHash: ref.dealHash }
  const payload = createComplaint(turn.ports.curve, accusation, deal.ephemeral, receiver)
  const complain = turn.send('complain', encodeComplain(payload), ref.dealer, view)
  if (complain !== undefined) turn.blame('E3', ref.dealer, [session.joinset, message, complain])
}

function complete(turn: Turn, key: CheckedKey, share?: Secret): void {
  const { state } = turn
  const committed = currentRecord(state).inbox.commits
  wipeSecrets(turn, share)
  turn.stopTimers()
  state.wanted.clear()
  state.phase = share === undefined ? { name: 'complete', key } : { name: 'complete', key, share }
  turn.mustPersist = true
  turn.emit({ type: 'complete', certificate: key.certificate, ...(share && { share }) })
  // Members whose COMMIT is here have what it takes to assemble it; the others of both committees are told.
  for (const index of everybody(turn.parties))
    if (index !== turn.self && !committed.has(index))
      turn.emit({ type: 'send-certificate', to: index, certificate: key.certificate })
}

/** Everything secret but the share of the certified outcome (protocol R5, erasure after CERT2). */
function wipeSecrets({ state }: Turn, kept: Secret | undefined): void {
  for (const verdict of state.verdicts.values()) if (verdict.kind === 'good') verdict.share?.destroy()
  state.verdicts.clear()
  for (const receiver of state.receiverKeys.values()) destroyReceiver(receiver)
  state.receiverKeys.clear()
  for (const { share } of state.prepared.values()) if (share !== kept) share.destroy()
  state.prepared.clear()
}

/** The share is durable in the key store: what remains of the ceremony is public. */
export function archive(turn: Turn): void {
  const { state, ports } = turn
  if (state.phase.name !== 'complete') return
  const { key, share } = state.phase
  share?.destroy()
  const { outcome } = decodeCertificate(ports.curve, key.certificate)
  const dealings = outcome.dealings.flatMap(({ dealer, dealHash }) => {
    const message = findDeal(state, dealer, dealHash)
    return message === undefined ? [] : [{ dealer, dealHash, signed: message.bytes }]
  })
  state.phase = { name: 'archived', key }
  turn.emit({ type: 'archive', certificate: key.certificate, dealings })
}
