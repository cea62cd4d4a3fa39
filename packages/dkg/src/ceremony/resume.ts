import { dkgError } from '../errors.ts'
import { attempt, bytesKey } from '../primitives/codec.ts'
import type { Secret } from '../primitives/secret.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { decodeCert1 } from './cert1.ts'
import { decodeCertificate } from './certificate.ts'
import { type CheckedKey, checkCertificate } from './check-certificate.ts'
import { want } from './deals.ts'
import type { CeremonyParams, EnginePorts, EngineRules } from './engine-types.ts'
import { FAULT_SUMMARIES } from './evidence.ts'
import { joinCheckOf } from './inbox.ts'
import { leaderOf, openSession, type Session } from './join.ts'
import { readSession } from './joining.ts'
import { decodeComplain } from './messages.ts'
import { messageHash, type SignedMessage } from './signed-message.ts'
import { decodeSnapshot, type Snapshot } from './snapshot.ts'
import { createState, emptyInbox, type Inbox, type Phase } from './state.ts'
import { Turn } from './turn.ts'

const broken = (problem: string): never => {
  throw dkgError('bad-encoding', `the snapshot ${problem}`)
}

function required<T>(value: T | undefined, field: string): T {
  return value ?? broken(`lacks its ${field}`)
}

/**
 * The state behind a snapshot. Stored bytes are taken as they are: nothing is derived again, no slot is filled again.
 * @throws KmsError `bad-encoding` when the snapshot is not whole
 */
export function resumeTurn(ports: EnginePorts, rules: EngineRules, params: CeremonyParams, secret: Secret): Turn {
  const turn = new Turn(ports, rules, createState(params))
  const { state } = turn
  const snapshot = decodeSnapshot(state.ceremony, secret)
  state.view = snapshot.view
  state.leader = leaderOf(turn.config, state.ceremony, snapshot.view)
  state.standing = snapshot.standing
  state.wantsToAbandon = snapshot.wantsToAbandon
  for (const { slot, message } of snapshot.sent) state.sent.set(slot, message)
  for (const { view, secrets } of snapshot.receiverKeys) state.receiverKeys.set(view, secrets)
  for (const prepared of snapshot.prepared) state.prepared.set(bytesKey(prepared.outcome), prepared)
  const { cert1 } = snapshot
  state.cert1 = cert1 && decodeCert1(ports.curve, turn.parties, cert1)
  for (const message of snapshot.lastJoins) state.lastJoins.set(message.header.from, message)
  for (const message of snapshot.lastCommits) state.lastCommits.set(message.header.from, message)
  for (const message of snapshot.abandons) state.abandons.set(message.header.from, message)
  restoreFaults(turn, snapshot)
  for (const message of snapshot.inbox) putBack(turn, state.inbox, message)
  for (const { view, messages } of snapshot.past) restoreView(turn, view, messages)
  state.phase = phaseOf(turn, snapshot)
  if (state.phase.name === 'fetching') wantQualified(turn, state.phase.key)
  return turn
}

/** Told again: a crash may have come before the driver wrote them down. */
function restoreFaults(turn: Turn, { faults, equivocations }: Snapshot): void {
  for (const { culprit, kind, evidence } of faults) {
    const fault = { culprit, kind, certainty: 'proven', summary: FAULT_SUMMARIES[kind], evidence } as const
    turn.state.faults.set(culprit, fault)
    turn.emit({ type: 'fault', fault })
  }
  for (const messages of equivocations) {
    const [first] = messages
    if (first !== undefined) turn.state.equivocations.set(first.header.from, messages)
  }
}

function restoreView(turn: Turn, view: number, messages: readonly SignedMessage[]): void {
  const inbox = emptyInbox()
  for (const message of messages) putBack(turn, inbox, message)
  const session = inbox.joinset && openSession(joinCheckOf(turn), inbox.joinset)
  const leader = leaderOf(turn.config, turn.state.ceremony, view)
  turn.state.past.set(view, { view, leader, inbox, ...(session && { session }) })
}

/** A stored message goes back where it was taken from. */
function putBack({ ports }: Turn, inbox: Inbox, message: SignedMessage): void {
  const { name, from } = message.header
  switch (name) {
    case 'join':
      inbox.joins.set(from, message)
      return
    case 'joinset':
      inbox.joinset = message
      return
    case 'propose':
      inbox.propose = message
      return
    case 'deal': {
      const variants = new Map(inbox.deals.get(from))
      inbox.deals.set(from, variants.set(bytesKey(messageHash(message)), message))
      return
    }
    case 'vouch':
      inbox.vouches.set(from, message)
      return
    case 'complain': {
      const accused = attempt(() => decodeComplain(ports.curve, message.payload))?.dealer
      const byDealer = new Map<ParticipantIndex, SignedMessage>(inbox.complaints.get(from))
      inbox.complaints.set(from, byDealer.set(required(accused, 'complaint'), message))
      return
    }
    case 'vote':
      inbox.votes.set(from, message)
      return
    case 'commit':
      inbox.commits.set(from, message)
      return
    case 'abandon':
      return
  }
}

function phaseOf(turn: Turn, snapshot: Snapshot): Phase {
  const { phase: name, dealing, share } = snapshot
  const session = (): Session => required(readSession(turn), 'JOINSET')
  const key = (): CheckedKey =>
    checkCertificate(turn.ports.curve, turn.ports.verify, required(snapshot.certificate, 'certificate'))
  switch (name) {
    case 'seeding':
    case 'left':
    case 'abandoned':
      return { name }
    case 'joining':
      return { name, ...(dealing && { dealing }) }
    case 'dealing':
    case 'vouching':
    case 'observing':
    case 'dealt':
    case 'reproposing':
      return { name, session: session() }
    case 'voting':
    case 'committing':
      return { name, session: session(), outcome: required(snapshot.outcome, 'outcome') }
    case 'fetching': {
      const verified = key()
      return { name, key: verified, outcome: decodeCertificate(turn.ports.curve, verified.certificate).outcome }
    }
    case 'complete':
      return { name, key: key(), ...(share && { share }) }
    case 'archived':
      return { name, key: key() }
  }
}

function wantQualified(turn: Turn, key: CheckedKey): void {
  const { outcome, votes } = decodeCertificate(turn.ports.curve, key.certificate)
  for (const { dealer, dealHash } of outcome.dealings)
    want(turn, dealer, dealHash, [...votes.map(({ index }) => index), dealer])
}
