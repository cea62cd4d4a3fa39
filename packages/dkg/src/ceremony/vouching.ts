import { attempt, equalBytes } from '../primitives/codec.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { createComplaint } from './complaint.ts'
import { checkDeal, openDealtShare } from './dealing.ts'
import { complaintVerdict } from './evidence.ts'
import { findDeal, want } from './deals.ts'
import { keepOwn } from './inbox.ts'
import type { Session } from './join.ts'
import { isAddressed } from './joining.ts'
import { type DealPayload, type DealingRef, decodeComplain, encodeComplain, encodeVouch } from './messages.ts'
import { readVouch } from './readings.ts'
import type { ReceiverSecrets } from './seeds.ts'
import { messageHash, type SignedMessage } from './signed-message.ts'
import type { Verdict } from './state.ts'
import type { Turn } from './turn.ts'

/** R3: judges every DEAL and COMPLAIN that is here, and vouches once nothing more is expected. */
export function advanceVouching(turn: Turn): void {
  const { phase } = turn.state
  if (!('session' in phase) || phase.name === 'dealt' || phase.session.carried !== undefined) return
  const { session } = phase
  wantVouched(turn, session)
  for (const dealer of session.dealers.keys()) judgeDealer(turn, session, dealer)
  judgeComplaints(turn, session)
  if (phase.name !== 'dealing') return
  const everyDealJudged = [...session.dealers.keys()].every((dealer) => turn.state.verdicts.has(dealer))
  if (!everyDealJudged && !turn.state.fired.has('deal')) return
  keepOwn(turn, turn.send('vouch', encodeVouch({ sid: session.sid, dealings: goodDealings(turn) })))
  turn.state.phase = { name: 'vouching', session }
  if (turn.isLeader) turn.startTimer('vouch', turn.phaseMs)
}

/** Every dealing this node can stand behind: good, and its dealer not proven faulty. Ascending by dealer. */
export function goodDealings(turn: Turn): DealingRef[] {
  const { verdicts, faults } = turn.state
  return [...verdicts]
    .flatMap(([dealer, verdict]) =>
      verdict.kind === 'good' && !faults.has(dealer) ? [{ dealer, dealHash: verdict.dealHash }] : [],
    )
    .toSorted((left, right) => left.dealer - right.dealer)
}

/** Every receiver of the JOINSET vouches for all that this node holds good: no complaint about any of it is on its way. */
export function vouchesAgree(turn: Turn, session: Session): boolean {
  const good = goodDealings(turn)
  return [...session.receivers.keys()].every((index) => {
    const message = turn.state.inbox.vouches.get(index)
    const vouch = message && readVouch(turn.parties, message)
    if (vouch === undefined) return false
    const hashes = new Map(vouch.dealings.map(({ dealer, dealHash }) => [dealer, dealHash]))
    return good.every(({ dealer, dealHash }) => equalBytes(hashes.get(dealer) ?? NOT_VOUCHED, dealHash))
  })
}

const NOT_VOUCHED = new Uint8Array(0)

/** A DEAL is one public object: whoever vouches for it can be asked for it. */
function wantVouched(turn: Turn, session: Session): void {
  const { judged, inbox } = turn.state
  const own = inbox.vouches.get(turn.self)
  for (const [voucher, message] of inbox.vouches) {
    const key = `vouch/${voucher}`
    if (judged.has(key)) continue
    judged.add(key)
    // It names what this node named itself, and holds.
    if (own !== undefined && equalBytes(own.payload, message.payload)) continue
    const vouch = readVouch(turn.parties, message)
    if (vouch === undefined || !equalBytes(vouch.sid, session.sid)) continue
    for (const { dealer, dealHash } of vouch.dealings)
      if (session.dealers.has(dealer)) want(turn, dealer, dealHash, [voucher, dealer])
  }
}

function judgeDealer(turn: Turn, session: Session, dealer: ParticipantIndex): void {
  const { state } = turn
  if (state.verdicts.has(dealer)) return
  const message = dealOfSession(turn, session, dealer)
  if (message === undefined) return
  state.verdicts.set(dealer, judge(turn, session, message))
}

/** The first DEAL of this dealer under this sid. One too short to have a sid is malformed in every session. */
function dealOfSession(turn: Turn, session: Session, dealer: ParticipantIndex): SignedMessage | undefined {
  const variants = [...(turn.state.inbox.deals.get(dealer)?.values() ?? [])]
  return variants.find(({ payload }) => payload.length < 32 || equalBytes(payload.subarray(0, 32), session.sid))
}

function judge(turn: Turn, session: Session, message: SignedMessage): Verdict {
  const { curve } = turn.ports
  const dealer = message.header.from
  const receiver = turn.receiverKey
  const check = checkDeal(curve, turn.parties, session, message)
  if (!check.ok) {
    turn.blame('E1', dealer, [session.joinset, message])
    return { kind: 'bad' }
  }
  const { deal } = check
  const dealHash = messageHash(message)
  const receiverKey = session.receivers.get(turn.self)
  if (receiver === undefined || receiverKey === undefined || !isAddressed(turn, session))
    return { kind: 'good', message, deal, dealHash }
  const shared = curve.mulSecret(deal.ephemeral, receiver.key)
  const share = openDealtShare(curve, deal, { sid: session.sid, dealer, receiver: turn.self, receiverKey, shared })
  if (share !== undefined) return { kind: 'good', message, deal, dealHash, share }
  complain(turn, session, deal, { dealer, dealHash, receiver })
  return { kind: 'bad' }
}

function complain(
  turn: Turn,
  session: Session,
  deal: DealPayload,
  about: { readonly dealer: ParticipantIndex; readonly dealHash: Uint8Array; readonly receiver: ReceiverSecrets },
): void {
  const { dealer, dealHash, receiver } = about
  const accusation = { sid: session.sid, dealer, receiver: turn.self, dealHash }
  const complaint = createComplaint(turn.ports.curve, accusation, deal.ephemeral, receiver)
  keepOwn(turn, turn.send('complain', encodeComplain(complaint), dealer))
}

/** Each complaint opens one dealing for everybody: dealer or complainer is guilty, there is no third case (protocol R3). */
function judgeComplaints(turn: Turn, session: Session): void {
  const { state, ports } = turn
  for (const [complainer, byDealer] of state.inbox.complaints)
    for (const [dealer, message] of byDealer) {
      const key = `${complainer}/${dealer}`
      if (state.judged.has(key)) continue
      const complaint = attempt(() => decodeComplain(ports.curve, message.payload))
      if (complaint === undefined || !equalBytes(complaint.sid, session.sid) || !session.receivers.has(complainer))
        continue
      const deal = findDeal(state, dealer, complaint.dealHash)
      if (deal === undefined) {
        want(turn, dealer, complaint.dealHash, [complainer, dealer])
        continue
      }
      state.judged.add(key)
      settle(turn, session, deal, message)
    }
}

function settle(turn: Turn, session: Session, deal: SignedMessage, complain: SignedMessage): void {
  const { curve } = turn.ports
  const messages = [session.joinset, deal, complain]
  if (!checkDeal(curve, turn.parties, session, deal).ok) return
  const verdict = complaintVerdict(curve, turn.parties, session, deal, complain)
  if (verdict === 'dealer') turn.blame('E3', deal.header.from, messages)
  if (verdict === 'complainer') turn.blame('E4', complain.header.from, messages)
}
