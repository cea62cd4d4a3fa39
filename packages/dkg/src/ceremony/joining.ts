import { equalBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { PointBytes } from '../primitives/types.ts'
import { authorizationStrength } from './authorization.ts'
import { createDeal, dealCommitment, dealtPoints } from './dealing.ts'
import type { CeremonyInput } from './engine-types.ts'
import { joinCheckOf, keepOwn } from './inbox.ts'
import { openSession, readJoin, type Session } from './join.ts'
import { onceOnCurve } from './memo.ts'
import { encodeDeal, encodeJoin, encodeJoinset, type JoinRole } from './messages.ts'
import { isDealer, isReceiver, mayDeal } from './parties.ts'
import {
  type DealingSecrets,
  destroyDealing,
  expandDealingSeed,
  expandReceiverSeed,
  type ReceiverSecrets,
} from './seeds.ts'
import type { Turn } from './turn.ts'

type Seeds = Extract<CeremonyInput, { type: 'seeds' }>

function destroySeeds({ dealing, receiver, oldShare }: Seeds): void {
  for (const secret of [dealing, receiver, oldShare]) secret?.destroy()
}

/** R0: expands the fresh seeds of this view and sends JOIN. Seeds that were not asked for are wiped unread. */
export function join(turn: Turn, seeds: Seeds): void {
  const { state, ports, self } = turn
  if (state.phase.name !== 'seeding' || seeds.view !== state.view || !turn.isConfirmed || state.standing !== 'active')
    return destroySeeds(seeds)
  const receiver = seeds.receiver && turn.isReceiver ? expandReceiverSeed(seeds.receiver) : undefined
  const dealing = dealingOf(turn, seeds)
  destroySeeds(seeds)
  const role = roleOf(receiver !== undefined, dealing !== undefined)
  if (role === undefined) {
    // An old holder without its share has nothing to contribute: it waits for the certificate.
    state.phase = { name: 'left' }
    return
  }
  if (receiver !== undefined) state.receiverKeys.set(state.view, receiver)
  state.phase = { name: 'joining', ...(dealing && { dealing }) }
  const dealCommit = dealing && commitTo(turn, dealing)
  const cert1 = turn.rules.carryCert1 ? state.cert1 : undefined
  const payload = encodeJoin({
    role,
    ...(receiver && { receiverKey: receiverPoint(ports.curve, receiver) }),
    ...(dealCommit && { dealCommit }),
    ...(cert1 && { cert1: cert1.bytes }),
  })
  const message = turn.send('join', payload)
  keepOwn(turn, message)
  if (message !== undefined) state.lastJoins.set(self, message)
}

function roleOf(receives: boolean, deals: boolean): JoinRole | undefined {
  if (receives) return deals ? 'both' : 'receiver'
  return deals ? 'dealer' : undefined
}

/** What this node deals in the view: anything in a KEYGEN, else exactly its old share. Without it, or with a wrong one, it does not deal. */
function dealingOf(turn: Turn, seeds: Seeds): DealingSecrets | undefined {
  const { parties, self, ports, config } = turn
  if (seeds.dealing === undefined || !isDealer(parties, self)) return undefined
  const receivers = config.members.map((member) => member.index)
  if (parties.spec.kind === 'keygen') return expandDealingSeed(seeds.dealing, config.t, receivers)
  const { oldShare } = seeds
  // Whoever asks for a share to be dealt again must have the old committee's word for it, whatever else opened this engine (protocol 6).
  const { authorizations = [] } = turn.state.params
  if (authorizationStrength(ports.verify, parties.spec, authorizations) === undefined) return undefined
  if (oldShare === undefined || !mayDeal(ports.curve, parties, self, ports.curve.mulBaseSecret(oldShare)))
    return undefined
  return expandDealingSeed(seeds.dealing, config.t, receivers, oldShare)
}

function commitTo({ state, ports, self }: Turn, dealing: DealingSecrets): Uint8Array {
  const { commitment, ephemeral } = dealtPoints(ports.curve, dealing)
  const { ceremony, view } = state
  return dealing.nonce.use((nonce) => dealCommitment({ ceremony, view, dealer: self, nonce, commitment, ephemeral }))
}

/** R1 and R2: the leader closes the JOINSET; everybody opens the session from it and deals. */
export function advanceJoining(turn: Turn): void {
  const { state } = turn
  if (state.phase.name !== 'joining') return
  if (turn.isLeader) closeJoinset(turn)
  if (state.inbox.joinset === undefined) return
  const session = readSession(turn)
  if (session !== undefined) enterSession(turn, session)
}

/** The leader waits for everybody, or T_phase once there is a quorum; without a CERT1 there must be dealers enough too. */
function closeJoinset(turn: Turn): void {
  const { state, parties } = turn
  const { joins } = state.inbox
  const receivers = [...joins.keys()].filter((from) => isReceiver(parties, from)).length
  if (receivers < turn.quorum) return
  turn.startTimer('join', turn.phaseMs)
  const payloads = [...joins.values()].map((message) => readJoin(joinCheckOf(turn), message))
  const carried = payloads.some((payload) => payload?.cert1 !== undefined)
  const dealers = payloads.filter((payload) => payload?.dealCommit !== undefined).length
  if (!carried && dealers < parties.minDealers) return
  const missing = parties.dealers.members.some(({ index }) => !joins.has(index))
  const complete = receivers === turn.config.n && (carried || !missing)
  if (!complete && !state.fired.has('join')) return
  const ordered = [...joins.entries()].toSorted(([left], [right]) => left - right)
  keepOwn(turn, turn.send('joinset', encodeJoinset(ordered.map(([, message]) => message.bytes))))
}

/** Key of `state.judged`: the JOINSET in the inbox contradicts itself. */
const BAD_JOINSET = 'joinset'

/** The session of the JOINSET in the inbox; one that contradicts itself proves its leader faulty (E5). */
export function readSession(turn: Turn): Session | undefined {
  const { state } = turn
  const { joinset, joins } = state.inbox
  if (joinset === undefined || state.judged.has(BAD_JOINSET)) return undefined
  const session = openSession({ ...joinCheckOf(turn), known: joins.get.bind(joins) }, joinset)
  if (session === undefined) {
    state.judged.add(BAD_JOINSET)
    turn.blame('E5', state.leader, [joinset])
  }
  return session
}

function enterSession(turn: Turn, session: Session): void {
  const { state, ports, parties, self } = turn
  if (state.phase.name !== 'joining') return
  const { dealing } = state.phase
  turn.mustPersist = true
  const { carried } = session
  // Re-proposing: the outcome of the highest CERT1 goes forward (R1), and this node carries it from here on too.
  if (carried !== undefined && carried.view > (state.cert1?.view ?? -1)) state.cert1 = carried
  const deals = carried === undefined && dealing !== undefined && isCommittedTo(turn, session, dealing)
  if (deals)
    keepOwn(
      turn,
      turn.send('deal', encodeDeal(createDeal(ports.curve, parties, session, { dealer: self, secrets: dealing }))),
    )
  // The dealer is never needed again (protocol R2): the snapshot of this step no longer has the coefficients.
  if (dealing !== undefined) destroyDealing(dealing)
  state.phase = { name: phaseIn(turn, session), session }
  if (state.phase.name === 'dealing') turn.startTimer('deal', turn.phaseMs)
}

function phaseIn(turn: Turn, session: Session): 'dealt' | 'reproposing' | 'dealing' | 'observing' {
  if (!turn.isReceiver) return 'dealt'
  if (session.carried !== undefined) return 'reproposing'
  return isAddressed(turn, session) ? 'dealing' : 'observing'
}

/** Whether the JOINSET holds this node's commitment: what it deals then is what it committed to. */
function isCommittedTo(turn: Turn, session: Session, dealing: DealingSecrets): boolean {
  const commitment = session.dealers.get(turn.self)
  return commitment !== undefined && equalBytes(commitment, commitTo(turn, dealing))
}

/** Whether dealings of this session are encrypted to this node's receiver key of the view: the JOINSET holds its JOIN as it sent it. */
export function isAddressed(turn: Turn, session: Session): boolean {
  const receiverKey = session.receivers.get(turn.self)
  const own = turn.state.receiverKeys.get(session.view)
  return receiverKey !== undefined && own !== undefined && equalBytes(receiverKey, receiverPoint(turn.ports.curve, own))
}

/** EK_j. */
const receiverPoint: (curve: Curve, secrets: ReceiverSecrets) => PointBytes = onceOnCurve((curve, { key }) =>
  curve.mulBaseSecret(key),
)
