import { attempt, bytesKey, equalBytes } from '../primitives/codec.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { SINGLE_SLOT_NAMES } from './evidence.ts'
import { readJoin } from './join.ts'
import { decodeCommit, decodeComplain, decodeVote, decodeVouch } from './messages.ts'
import {
  decodeSigned,
  MAX_DEAL_BYTES,
  maxSignedMessageBytes,
  messageHash,
  type SignedMessage,
  verifySigned,
} from './signed-message.ts'
import type { Inbox } from './state.ts'
import type { Turn } from './turn.ts'

/** Different DEALs kept per dealer: two prove equivocation, one more can arrive because the outcome names it. */
const MAX_DEAL_VARIANTS = 2

/**
 * Takes in a signed message from anybody: decoded, of this ceremony and view, signed by a member. First one wins in every slot;
 * a different second one is evidence E2. Everything else is dropped without a trace (protocol 3, 7). Never throws.
 * @returns the message when it was new
 */
export function absorb(turn: Turn, bytes: Uint8Array): SignedMessage | undefined {
  const { config, state, ports } = turn
  const message = attempt(() => decodeSigned(bytes, maxSignedMessageBytes(config.n, config.t)))
  if (message === undefined || message.header.view !== state.view) return undefined
  if (!equalBytes(message.header.ceremony, state.ceremony) || isKnown(turn, message)) return undefined
  if (isLeaders(message) && message.header.from !== state.leader) return undefined
  if (!verifySigned(ports.verify, config, message)) return undefined
  return store(turn, message) ? message : undefined
}

/** JOINSET and PROPOSE fill one slot per view, its leader's: from anybody else they mean nothing, and prove nothing (protocol 4). */
const isLeaders = ({ header }: SignedMessage): boolean => header.name === 'joinset' || header.name === 'propose'

/** Keeps a message this node made itself. */
export function keepOwn(turn: Turn, message: SignedMessage | undefined): void {
  if (message !== undefined) store(turn, message)
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

function isKnown(turn: Turn, message: SignedMessage): boolean {
  const { inbox } = turn.state
  const { name, from } = message.header
  const kept = slotOf(inbox, message)
  if (kept !== undefined) return equalBytes(kept.body, message.body)
  if (name === 'deal') return inbox.deals.get(from)?.has(bytesKey(messageHash(message))) ?? false
  return false
}

function store(turn: Turn, message: SignedMessage): boolean {
  const { inbox } = turn.state
  const { name, from } = message.header
  const kept = slotOf(inbox, message)
  if (kept !== undefined) {
    if (SINGLE_SLOT_NAMES.has(name)) turn.blame('E2', from, [kept, message])
    return false
  }
  switch (name) {
    case 'join':
      if (readJoin(turn.ports.curve, turn.state.params.spec, message) === undefined) return false
      inbox.joins.set(from, message)
      return true
    case 'joinset':
      inbox.joinset = message
      return true
    case 'propose':
      inbox.propose = message
      return true
    case 'deal':
      return storeDeal(turn, message)
    case 'vouch':
      if (!isReadable(() => decodeVouch(turn.config, message.payload))) return false
      inbox.vouches.set(from, message)
      return true
    case 'complain':
      return storeComplaint(turn, message)
    case 'vote':
      if (!isReadable(() => decodeVote(message.payload))) return false
      inbox.votes.set(from, message)
      return true
    case 'commit':
      if (!isReadable(() => decodeCommit(message.payload))) return false
      inbox.commits.set(from, message)
      return true
    case 'abandon':
      return false
  }
}

/** What no honest member sends is not kept: a member fills at most its slots, and each with what belongs there. */
const isReadable = (decode: () => unknown): boolean => attempt(decode) !== undefined

function storeDeal(turn: Turn, message: SignedMessage): boolean {
  const { inbox, wanted } = turn.state
  const { from } = message.header
  if (message.bytes.length > MAX_DEAL_BYTES) return false
  const hash = bytesKey(messageHash(message))
  const variants = inbox.deals.get(from) ?? new Map<string, SignedMessage>()
  const [first] = variants.values()
  if (first !== undefined) turn.blame('E2', from, [first, message])
  if (variants.size >= MAX_DEAL_VARIANTS && !wanted.has(hash)) return false
  wanted.delete(hash)
  variants.set(hash, message)
  inbox.deals.set(from, variants)
  return true
}

function storeComplaint(turn: Turn, message: SignedMessage): boolean {
  const { inbox } = turn.state
  const { from } = message.header
  const complaint = attempt(() => decodeComplain(turn.ports.curve, message.payload))
  if (complaint === undefined) return false
  const byDealer = inbox.complaints.get(from) ?? new Map<ParticipantIndex, SignedMessage>()
  if (byDealer.has(complaint.dealer) || turn.config.members.every(({ index }) => index !== complaint.dealer))
    return false
  byDealer.set(complaint.dealer, message)
  inbox.complaints.set(from, byDealer)
  return true
}

/** The DEAL with this hash, if it is here. */
export function findDeal(inbox: Inbox, dealer: ParticipantIndex, dealHash: Uint8Array): SignedMessage | undefined {
  return inbox.deals.get(dealer)?.get(bytesKey(dealHash))
}

/** Remembers that a DEAL exists, and asks one of its holders for it (protocol R3: pull by hash). */
export function want(
  turn: Turn,
  dealer: ParticipantIndex,
  dealHash: Uint8Array,
  holders: readonly ParticipantIndex[],
): void {
  const { state } = turn
  if (findDeal(state.inbox, dealer, dealHash) !== undefined) return
  const key = bytesKey(dealHash)
  const before = state.wanted.get(key)
  const others = holders.filter((holder) => holder !== turn.self)
  const all = new Set([...(before?.holders ?? []), ...others])
  state.wanted.set(key, { dealer, dealHash, holders: all })
  if (before === undefined) pull(turn, key)
}

/** Asks the next holder in turn for a wanted DEAL. */
export function pull(turn: Turn, key: string): void {
  const { state } = turn
  const wanted = state.wanted.get(key)
  if (wanted === undefined) return
  const holders = [...wanted.holders]
  const to = holders[state.retransmits % Math.max(1, holders.length)]
  const sid = sessionIdInUse(turn)
  if (to === undefined || sid === undefined) return
  turn.emit({ type: 'fetch', to, sid, dealer: wanted.dealer, dealHash: wanted.dealHash })
}

function sessionIdInUse(turn: Turn): Uint8Array | undefined {
  const { phase } = turn.state
  if ('session' in phase) return phase.session.sid
  return phase.name === 'fetching' ? phase.outcome.sid : undefined
}
