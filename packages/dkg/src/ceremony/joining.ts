import { equalBytes } from '../primitives/codec.ts'
import type { Secret } from '../primitives/secret.ts'
import { createDeal, dealCommitment, dealtPoints } from './dealing.ts'
import { keepOwn } from './inbox.ts'
import { openSession, type Session } from './join.ts'
import { encodeDeal, encodeJoin, encodeJoinset } from './messages.ts'
import { destroyDealing, expandDealingSeed, expandReceiverSeed, type ReceiverSecrets } from './seeds.ts'
import type { Turn } from './turn.ts'

/** R0: expands the fresh seeds of this view and sends JOIN. A second answer to `need-seeds` is wiped unread. */
export function join(turn: Turn, seeds: { readonly dealing: Secret; readonly receiver: Secret }): void {
  const { state, config, self, ports } = turn
  if (state.phase.name !== 'seeding') {
    seeds.dealing.destroy()
    seeds.receiver.destroy()
    return
  }
  const receivers = config.members.map((member) => member.index)
  const dealing = expandDealingSeed(seeds.dealing, config.t, receivers)
  const receiver = expandReceiverSeed(seeds.receiver)
  const { commitment, ephemeral } = dealtPoints(ports.curve, dealing)
  const { ceremony, view } = state
  const dealCommit = dealing.nonce.use((nonce) =>
    dealCommitment({ ceremony, view, dealer: self, nonce, commitment, ephemeral }),
  )
  state.phase = { name: 'joining', receiver, dealing }
  const receiverKey = ports.curve.mulBaseSecret(receiver.key)
  keepOwn(turn, turn.send('join', encodeJoin({ role: 'both', receiverKey, dealCommit })))
}

/** R1 and R2: the leader closes the JOINSET; everybody opens the session from it and deals. */
export function advanceJoining(turn: Turn): void {
  const { state } = turn
  const { inbox } = state
  if (inbox.joins.size >= turn.quorum) turn.startTimer('view', 5 * turn.phaseMs)
  if (state.phase.name !== 'joining') return
  if (turn.isLeader) closeJoinset(turn)
  if (inbox.joinset === undefined) return
  const session = readSession(turn)
  if (session !== undefined) deal(turn, session)
}

function closeJoinset(turn: Turn): void {
  const { joins } = turn.state.inbox
  if (joins.size < turn.quorum) return
  turn.startTimer('join', turn.phaseMs)
  if (joins.size < turn.config.n && !turn.state.fired.has('join')) return
  const ordered = [...joins.entries()].toSorted(([left], [right]) => left - right)
  keepOwn(turn, turn.send('joinset', encodeJoinset(ordered.map(([, message]) => message.bytes))))
}

/** Key of `state.judged`: the JOINSET in the inbox contradicts itself. */
const BAD_JOINSET = 'joinset'

/** The session of the JOINSET in the inbox; one that contradicts itself proves its leader faulty (E5). */
export function readSession(turn: Turn): Session | undefined {
  const { state, ports } = turn
  const { joinset, joins } = state.inbox
  if (joinset === undefined || state.judged.has(BAD_JOINSET)) return undefined
  const { spec } = state.params
  const known = joins.get.bind(joins)
  const session = openSession(
    { curve: ports.curve, verify: ports.verify, spec, ceremony: state.ceremony, known },
    joinset,
  )
  if (session === undefined) {
    state.judged.add(BAD_JOINSET)
    turn.blame('E5', state.leader, [joinset])
  }
  return session
}

function deal(turn: Turn, session: Session): void {
  const { state, self, ports } = turn
  if (state.phase.name !== 'joining') return
  const { receiver, dealing } = state.phase
  turn.mustPersist = true
  if (isAddressed(turn, session, receiver)) {
    keepOwn(turn, turn.send('deal', encodeDeal(createDeal(ports.curve, session, self, dealing))))
    state.phase = { name: 'dealing', receiver, session }
    turn.startTimer('deal', turn.phaseMs)
  } else {
    state.phase = { name: 'observing', receiver, session }
  }
  // The dealer is never needed again (protocol R2): the snapshot of this step no longer has the coefficients.
  destroyDealing(dealing)
}

/** Whether dealings of this session are encrypted to this receiver key: the JOINSET holds this node's JOIN as it sent it. */
export function isAddressed(turn: Turn, session: Session, receiver: ReceiverSecrets): boolean {
  const receiverKey = session.receivers.get(turn.self)
  return receiverKey !== undefined && equalBytes(receiverKey, turn.ports.curve.mulBaseSecret(receiver.key))
}
