import { attempt, bytesKey, equalBytes } from '../primitives/codec.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { contradicts, SINGLE_SLOT_NAMES } from './evidence.ts'
import type { ForkMap } from './fork.ts'
import { type JoinCheck, leaderOf, readJoin } from './join.ts'
import { decodeCommit, decodeComplain } from './messages.ts'
import { isDealer, isReceiver } from './parties.ts'
import { readVote, readVouch } from './readings.ts'
import { decodeSigned, MAX_DEAL_BYTES, messageHash, type SignedMessage, verifySigned } from './signed-message.ts'
import { copyInbox, type CeremonyState, type Inbox } from './state.ts'
import type { Turn } from './turn.ts'

/** No ceremony gets there: at a view every half hour this takes decades. Higher ones are not read, so that no sum overflows. */
const MAX_VIEW = 1_000_000

/** Different DEALs kept per dealer: two prove equivocation, one more can arrive because the outcome names it. */
const MAX_DEAL_VARIANTS = 2

/**
 * Takes in a signed message from anybody: decoded, of this ceremony, signed by a party. First one wins in every slot; a different second
 * one is evidence E2. Messages of a higher view wait for it, of an earlier one only what can still certify its outcome counts.
 * Everything else is dropped without a trace (protocol 3, 7). Never throws.
 */
export function absorb(turn: Turn, bytes: Uint8Array): void {
  const { parties, state, ports } = turn
  const message = attempt(() => decodeSigned(bytes, parties.maxMessageBytes))
  if (message === undefined || !equalBytes(message.header.ceremony, state.ceremony)) return
  const { view, name } = message.header
  if (view > MAX_VIEW || isKnown(state, message) || !mayFillSlot(turn, message)) return
  if (!verifySigned(ports.verify, parties, message)) return
  if (name === 'abandon') return storeAbandon(turn, message)
  if (name === 'deal' && takeWanted(turn, message)) return
  if (view > state.view) return storeAhead(turn, message)
  if (view === state.view) store(turn, state.inbox, message)
  else storePast(turn, message)
}

/** JOINSET and PROPOSE fill one slot per view, its leader's: from anybody else they mean nothing, and prove nothing (protocol 4). */
function mayFillSlot({ state, parties }: Turn, { header }: SignedMessage): boolean {
  if (header.name === 'abandon') return header.view === 0
  if (header.name !== 'joinset' && header.name !== 'propose') return true
  return header.from === leaderOf(parties.receivers, state.ceremony, header.view)
}

/** Keeps a message this node made itself. */
export function keepOwn(turn: Turn, message: SignedMessage | undefined): void {
  if (message !== undefined && message.header.view === turn.state.view) store(turn, turn.state.inbox, message)
}

/** Takes in what waited for the view that was just entered. */
export function storeWaiting(turn: Turn): void {
  const { state } = turn
  for (const [from, messages] of state.ahead) {
    const [first] = messages
    if (first === undefined || first.header.view > state.view) continue
    state.ahead.delete(from)
    if (first.header.view === state.view) for (const message of messages) store(turn, state.inbox, message)
  }
}

/** The message already accepted in the slot of this one. */
function slotOf(inbox: Inbox, message: SignedMessage): SignedMessage | undefined {
  const { name, from } = message.header
  switch (name) {
    case 'join':
      return inbox.joins.get(from)
    case 'joinset':
      return inbox.joinset
    case 'vouch':
      return inbox.vouches.get(from)
    case 'propose':
      return inbox.propose
    case 'vote':
      return inbox.votes.get(from)
    case 'commit':
      return inbox.commits.get(from)
    case 'deal':
    case 'complain':
    case 'abandon':
      return undefined
  }
}

const same = (left: SignedMessage | undefined, right: SignedMessage): boolean =>
  left !== undefined && equalBytes(left.body, right.body)

function isKnown(state: CeremonyState, message: SignedMessage): boolean {
  const { name, from, view } = message.header
  if (name === 'abandon') return state.abandons.has(from)
  if (view > state.view) return (state.ahead.get(from) ?? []).some((kept) => same(kept, message))
  const inbox = inboxOf(state, view)
  if (inbox === undefined) return false
  const kept = slotOf(inbox, message)
  if (kept !== undefined) return same(kept, message)
  return name === 'deal' && (inbox.deals.get(from)?.has(bytesKey(messageHash(message))) ?? false)
}

/** The inbox of a view this node is in or was in. */
export const inboxOf = (state: CeremonyState, view: number): Inbox | undefined =>
  view === state.view ? state.inbox : state.past.get(view)?.inbox

/** What no honest member sends is not kept: a member fills at most its slots, and each with what belongs there. */
function store(turn: Turn, inbox: Inbox, message: SignedMessage): void {
  const { name, from } = message.header
  const kept = slotOf(inbox, message)
  if (kept !== undefined) {
    if (SINGLE_SLOT_NAMES.has(name) && !same(kept, message)) turn.blame('E2', from, [kept, message])
    return
  }
  switch (name) {
    case 'join':
      return storeJoin(turn, inbox, message)
    case 'joinset':
      inbox.joinset = message
      return
    case 'propose':
      inbox.propose = message
      return
    case 'deal':
      return storeDeal(turn, inbox, message)
    case 'vouch':
      if (readVouch(turn.parties, message) !== undefined) inbox.vouches.set(from, message)
      return
    case 'complain':
      return storeComplaint(turn, inbox, message)
    case 'vote':
      if (readVote(message) !== undefined) inbox.votes.set(from, message)
      return
    case 'commit':
      if (attempt(() => decodeCommit(message.payload)) === undefined) return
      inbox.commits.set(from, message)
      return remember(turn, turn.state.lastCommits, message)
    case 'abandon':
      return
  }
}

export const joinCheckOf = ({ ports, parties }: Turn): JoinCheck => ({
  curve: ports.curve,
  verify: ports.verify,
  parties,
})

function storeJoin(turn: Turn, inbox: Inbox, message: SignedMessage): void {
  if (readJoin(joinCheckOf(turn), message) === undefined) return
  inbox.joins.set(message.header.from, message)
  remember(turn, turn.state.lastJoins, message)
}

/** Keeps the JOIN or COMMIT of the highest view of a member: a COMMIT beside a later JOIN that hides it is a fault (protocol 7, E2). */
function remember(turn: Turn, last: ForkMap<ParticipantIndex, SignedMessage>, message: SignedMessage): void {
  const { from, view } = message.header
  if ((last.get(from)?.header.view ?? -1) < view) last.set(from, message)
  blameContradiction(turn, from)
}

function blameContradiction(turn: Turn, from: ParticipantIndex): void {
  // What a rule forbids proves nothing against those for whom it is switched off.
  const { carryCert1, commitOnlyInOwnView, cert1ForbidsAbandon } = turn.rules
  if (!carryCert1 || !commitOnlyInOwnView || !cert1ForbidsAbandon) return
  const { lastJoins, lastCommits, abandons } = turn.state
  const commit = lastCommits.get(from)
  if (commit === undefined) return
  for (const other of [lastJoins.get(from), abandons.get(from)])
    if (other !== undefined && contradicts(turn.ports.curve, turn.parties, commit, other))
      turn.blame('E2', from, [commit, other])
}

function storeAbandon(turn: Turn, message: SignedMessage): void {
  const { from } = message.header
  if (message.payload.length !== 0 || !isReceiver(turn.parties, from)) return
  turn.state.abandons.set(from, message)
  blameContradiction(turn, from)
}

/** Of each member the messages of one view above ours are kept: the highest. An honest member is in one view at a time. */
function storeAhead(turn: Turn, message: SignedMessage): void {
  const { ahead } = turn.state
  const { from, view, name } = message.header
  const kept = ahead.get(from) ?? []
  const [first] = kept
  if (first !== undefined && first.header.view > view) return
  const waiting = first?.header.view === view ? kept : []
  const taken = waiting.filter(({ header }) => header.name === name).length
  const room = name === 'deal' ? MAX_DEAL_VARIANTS : name === 'complain' ? turn.parties.dealers.n : 1
  if (taken >= room || (name === 'deal' && message.bytes.length > MAX_DEAL_BYTES)) return
  if (name === 'join') {
    if (readJoin(joinCheckOf(turn), message) === undefined) return
    remember(turn, turn.state.lastJoins, message)
  }
  ahead.set(from, [...waiting, message])
}

/** A view that was left: its votes and commits may still certify its outcome. */
function storePast(turn: Turn, message: SignedMessage): void {
  const { state } = turn
  const { view, name } = message.header
  const record = state.past.get(view)
  if (record === undefined || !LASTING_NAMES.has(name)) return
  const inbox = copyInbox(record.inbox)
  state.past.set(view, { ...record, inbox })
  store(turn, inbox, message)
}

const LASTING_NAMES: ReadonlySet<string> = new Set(['propose', 'vote', 'commit'])

function storeDeal(turn: Turn, inbox: Inbox, message: SignedMessage): void {
  const { from } = message.header
  if (message.bytes.length > MAX_DEAL_BYTES || !isDealer(turn.parties, from)) return
  const variants = new Map(inbox.deals.get(from))
  // A DEAL that was pulled for an outcome of another view lies here too: one per view is a dealer's right.
  const first = [...variants.values()].find(({ header }) => header.view === message.header.view)
  if (first !== undefined) turn.blame('E2', from, [first, message])
  if (variants.size >= MAX_DEAL_VARIANTS) return
  variants.set(bytesKey(messageHash(message)), message)
  inbox.deals.set(from, variants)
}

/** A DEAL that was asked for by its hash is kept whatever its view: an outcome or a peer names it. */
function takeWanted(turn: Turn, message: SignedMessage): boolean {
  const { state } = turn
  const { from, view } = message.header
  const hash = bytesKey(messageHash(message))
  if (message.bytes.length > MAX_DEAL_BYTES || !state.wanted.delete(hash)) return false
  const variants = new Map(state.inbox.deals.get(from))
  const other = [...variants.values()].find(({ header }) => header.view === view)
  if (other !== undefined) turn.blame('E2', from, [other, message])
  state.inbox.deals.set(from, variants.set(hash, message))
  return true
}

function storeComplaint(turn: Turn, inbox: Inbox, message: SignedMessage): void {
  const { from } = message.header
  const complaint = attempt(() => decodeComplain(turn.ports.curve, message.payload))
  if (complaint === undefined || !isDealer(turn.parties, complaint.dealer)) return
  const byDealer = new Map(inbox.complaints.get(from))
  if (byDealer.has(complaint.dealer)) return
  byDealer.set(complaint.dealer, message)
  inbox.complaints.set(from, byDealer)
}
