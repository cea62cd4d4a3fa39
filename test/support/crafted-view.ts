import { createDeal, dealCommitment, dealtPoints } from '../../packages/dkg/src/ceremony/dealing.ts'
import { leaderOf, openSession, type Session } from '../../packages/dkg/src/ceremony/join.ts'
import { encodeDeal, encodeJoin, encodeJoinset } from '../../packages/dkg/src/ceremony/messages.ts'
import { isDealer, isReceiver, type Parties, partiesOf } from '../../packages/dkg/src/ceremony/parties.ts'
import { expandDealingSeed, expandReceiverSeed } from '../../packages/dkg/src/ceremony/seeds.ts'
import { type MessageName, type SignedMessage, signMessage } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'
import { bytesOf, type Committee } from './simulated-committee.ts'
import { nodeSeed } from './simulation.ts'

/** Messages of one view made by hand, each with the key of its sender: what faulty members can do whom no engine holds back. */
export class CraftedView {
  readonly parties: Parties
  readonly view: number
  readonly leader: ParticipantIndex
  readonly #committee: Committee

  constructor(committee: Committee, view: number) {
    this.#committee = committee
    this.parties = partiesOf(committee.spec, committee.previous)
    this.view = view
    this.leader = leaderOf(this.parties.receivers, this.parties.ceremony, view)
  }

  sign(name: MessageName, from: number, payload: Uint8Array, view: number = this.view): SignedMessage {
    const identity = this.#committee.identities.find(({ index }) => index === from)
    if (identity === undefined) throw new Error(`node ${from} is not in the ceremony`)
    return signMessage(identity.sign, { name, ceremony: this.parties.ceremony, view, from: identity.index }, payload)
  }

  /** A dealing of `constant`, the same every time. */
  #secrets(index: number, constant: Secret | undefined) {
    const receivers = this.parties.receivers.members.map((member) => member.index)
    const seed = nodeSeed(0, 'dealing', index, 1, this.view)
    return expandDealingSeed(seed, this.parties.receivers.t, receivers, constant)
  }

  /** JOIN with a CERT1 or without, committed to a dealing of `constant`. */
  join(index: number, options: { readonly constant?: Secret; readonly cert1?: Uint8Array } = {}): SignedMessage {
    const { curve } = this.#committee
    const [receives, deals] = [isReceiver(this.parties, index), isDealer(this.parties, index)]
    const secrets = this.#secrets(index, options.constant)
    const { key } = expandReceiverSeed(nodeSeed(0, 'receiver', index, 1, this.view))
    const dealCommit = secrets.nonce.use((nonce) =>
      dealCommitment({
        ceremony: this.parties.ceremony,
        view: this.view,
        dealer: index as ParticipantIndex,
        nonce,
        ...dealtPoints(curve, secrets),
      }),
    )
    const payload = encodeJoin({
      role: receives ? (deals ? 'both' : 'receiver') : 'dealer',
      ...(receives && { receiverKey: curve.mulBaseSecret(key) }),
      ...(deals && { dealCommit }),
      ...(options.cert1 && { cert1: options.cert1 }),
    })
    return this.sign('join', index, payload)
  }

  /** JOINSET of these JOINs by the leader of the view. */
  joinset(joins: readonly SignedMessage[]): SignedMessage {
    const ordered = joins.toSorted((left, right) => left.header.from - right.header.from)
    return this.sign('joinset', this.leader, encodeJoinset(ordered.map(({ bytes }) => bytes)))
  }

  /** The JOINSET of everybody, each with its own constant. */
  joinsetOfAll(constantOf: (index: number) => Secret | undefined): SignedMessage {
    return this.joinset(
      this.#committee.identities.map(({ index }) => {
        const constant = constantOf(index)
        return this.join(index, constant && { constant })
      }),
    )
  }

  session(joinset: SignedMessage): Session {
    const { curve, verify } = this.#committee
    const session = openSession({ curve, verify, parties: this.parties }, joinset)
    if (session === undefined) throw new Error('the crafted JOINSET opens no session')
    return session
  }

  /** The DEAL that goes with the JOIN of the same constant. */
  deal(index: number, joinset: SignedMessage, constant: Secret | undefined): SignedMessage {
    const secrets = this.#secrets(index, constant)
    const dealing = { dealer: index as ParticipantIndex, secrets }
    return this.sign(
      'deal',
      index,
      encodeDeal(createDeal(this.#committee.curve, this.parties, this.session(joinset), dealing)),
    )
  }
}

export const otherConstant = (label: string): Secret => new Secret(bytesOf('another constant', label))
