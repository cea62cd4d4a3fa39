import { bytesKey, equalBytes } from '../primitives/codec.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { messageHash, type SignedMessage } from './signed-message.ts'
import type { CeremonyState, Inbox } from './state.ts'
import type { Turn } from './turn.ts'

/** The DEAL with this hash, of whatever view, if it is here. */
export function findDeal(
  { inbox, past }: CeremonyState,
  dealer: ParticipantIndex,
  dealHash: Uint8Array,
): SignedMessage | undefined {
  const here = dealIn(inbox, dealer, dealHash)
  if (here !== undefined) return here
  for (const record of past.values()) {
    const found = dealIn(record.inbox, dealer, dealHash)
    if (found !== undefined) return found
  }
  return undefined
}

/** At most two of a dealer are kept: comparing them is cheaper than making a key of the hash. */
function dealIn({ deals }: Inbox, dealer: ParticipantIndex, dealHash: Uint8Array): SignedMessage | undefined {
  for (const message of deals.get(dealer)?.values() ?? [])
    if (equalBytes(messageHash(message), dealHash)) return message
  return undefined
}

/**
 * Remembers that a DEAL exists, and asks one of its holders for it (protocol R3: pull by hash). Of a dealer that is proven faulty none is
 * needed before the certificate names it: it is in no outcome that this node proposes or votes for.
 */
export function want(
  turn: Turn,
  dealer: ParticipantIndex,
  dealHash: Uint8Array,
  holders: readonly ParticipantIndex[],
): void {
  const { state } = turn
  if (state.phase.name !== 'fetching' && state.faults.has(dealer)) return
  if (findDeal(state, dealer, dealHash) !== undefined) return
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

function sessionIdInUse({ state: { phase } }: Turn): Uint8Array | undefined {
  if ('session' in phase) return phase.session.sid
  return phase.name === 'fetching' ? phase.outcome.sid : undefined
}
