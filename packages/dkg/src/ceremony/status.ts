import { attempt, equalBytes } from '../primitives/codec.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { decodeCert1, isValidCert1 } from './cert1.ts'
import type { CeremonyInput } from './engine-types.ts'
import { decodeComplain } from './messages.ts'
import { isReceiver } from './parties.ts'
import { decodeSigned, type SignedMessage, verifySigned } from './signed-message.ts'
import type { CeremonyState, Inbox } from './state.ts'
import { slotName, type Turn } from './turn.ts'
import { askForSeeds, enterView, leaveForGood } from './views.ts'

/** Answers a peer that started anew: what this node holds from it, of the highest view, and the highest CERT1 (protocol 5, STATUS). */
export function answerStatus(turn: Turn, to: ParticipantIndex): void {
  const { state } = turn
  if ('key' in state.phase) {
    turn.emit({ type: 'send-certificate', to, certificate: state.phase.key.certificate })
    return
  }
  const messages = heldFrom(state, to).map(({ bytes }) => bytes)
  turn.emit({ type: 'send-status', to, messages, ...(state.cert1 && { cert1: state.cert1.bytes }) })
}

/** Signed messages of a member, of the highest view that is known here, and its ABANDON. */
export function heldFrom(state: CeremonyState, from: ParticipantIndex): SignedMessage[] {
  const inboxes = [state.inbox, ...[...state.past.values()].map(({ inbox }) => inbox)]
  const all = [
    ...(state.ahead.get(from) ?? []),
    ...inboxes.flatMap((inbox) => messagesFrom(inbox, from)),
    ...[state.lastJoins.get(from), state.lastCommits.get(from)].filter((message) => message !== undefined),
  ]
  const highest = Math.max(...all.map(({ header }) => header.view))
  const abandon = state.abandons.get(from)
  const newest = new Set(all.filter(({ header }) => header.view === highest))
  return [...newest, ...(abandon === undefined ? [] : [abandon])]
}

function messagesFrom(inbox: Inbox, from: ParticipantIndex): SignedMessage[] {
  const byMember = [inbox.joins, inbox.vouches, inbox.votes, inbox.commits]
  const leaders = [inbox.joinset, inbox.propose].filter((message) => message?.header.from === from)
  return [
    ...byMember.map((messages) => messages.get(from)),
    ...(inbox.deals.get(from)?.values() ?? []),
    ...(inbox.complaints.get(from)?.values() ?? []),
    ...leaders,
  ].filter((message) => message !== undefined)
}

/**
 * What a peer holds from this node. A message that the sent-slot table lacks means that the disk was rolled back: this node signs
 * nothing more in views up to that one, takes over the CERT1 shown and goes on in the next view (protocol 5).
 */
export function takeStatus(turn: Turn, status: Extract<CeremonyInput, { type: 'status' }>): void {
  const { state } = turn
  if (turn.isOver || !isReceiver(turn.parties, status.from) || status.from === turn.self) return
  const lost = status.messages
    .flatMap((bytes) => attempt(() => decodeSigned(bytes, turn.parties.maxMessageBytes)) ?? [])
    .filter((message) => isOwn(turn, message) && !isInTable(turn, message))
  const wasConfirmed = turn.isConfirmed
  state.answered.add(status.from)
  if (lost.length > 0) recover(turn, lost, takeCert1(turn, status.cert1))
  else rejoin(turn, status.cert1)
  if (!wasConfirmed) askForSeeds(turn)
}

function isOwn(turn: Turn, message: SignedMessage): boolean {
  const { header } = message
  return (
    header.from === turn.self &&
    equalBytes(header.ceremony, turn.state.ceremony) &&
    verifySigned(turn.ports.verify, turn.parties, message)
  )
}

function isInTable(turn: Turn, message: SignedMessage): boolean {
  const { name, view } = message.header
  const accused =
    name === 'complain' ? attempt(() => decodeComplain(turn.ports.curve, message.payload))?.dealer : undefined
  const sent = turn.state.sent.get(slotName(name, view, accused))
  return sent !== undefined && equalBytes(sent.body, message.body)
}

/** @returns the view of the CERT1 that is now known, -1 where none holds */
function takeCert1(turn: Turn, bytes: Uint8Array | undefined): number {
  const { state, parties, ports } = turn
  const cert1 = bytes === undefined ? undefined : attempt(() => decodeCert1(ports.curve, parties, bytes))
  if (cert1 !== undefined && cert1.view > (state.cert1?.view ?? -1) && isValidCert1(ports.verify, parties, cert1))
    state.cert1 = cert1
  return state.cert1?.view ?? -1
}

function recover(turn: Turn, lost: readonly SignedMessage[], cert1View: number): void {
  const { state } = turn
  turn.mustPersist = true
  const abandon = lost.find(({ header }) => header.name === 'abandon')
  for (const message of lost) {
    const { name, view } = message.header
    // The slot is filled, by what was really sent: it is never filled again.
    if (name !== 'complain') state.sent.set(slotName(name, view), message)
  }
  const view = Math.max(...lost.map(({ header }) => header.view), cert1View)
  turn.emit({ type: 'rolled-back', view })
  if (abandon !== undefined && state.standing === 'active') {
    state.standing = 'abandoned'
    return leaveForGood(turn)
  }
  if (state.standing !== 'active' || view < state.view) return
  // Its next JOIN must carry what it committed to: without that CERT1 it only waits, for one that shows it or for the certificate.
  if (cert1View < committedView(turn)) leaveForGood(turn)
  else enterView(turn, view + 1)
}

/** The highest view in which this node sent a COMMIT, -1 where it sent none. */
const committedView = ({ state }: Turn): number =>
  Math.max(
    -1,
    ...[...state.sent.values()].filter(({ header }) => header.name === 'commit').map(({ header }) => header.view),
  )

/** A node that lost the CERT1 behind its own COMMIT goes on once a peer shows one. */
function rejoin(turn: Turn, cert1: Uint8Array | undefined): void {
  const { state } = turn
  if (state.phase.name !== 'left' || state.standing !== 'active' || !turn.isReceiver || cert1 === undefined) return
  const known = takeCert1(turn, cert1)
  if (known >= committedView(turn)) enterView(turn, Math.max(state.view, known) + 1)
}
