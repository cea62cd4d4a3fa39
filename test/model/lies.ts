import { createComplaint } from '../../packages/dkg/src/ceremony/complaint.ts'
import {
  decodeDeal,
  decodeJoin,
  decodeJoinset,
  decodePropose,
  encodeComplain,
  encodeDeal,
  encodeJoin,
  encodeJoinset,
  encodePropose,
  encodeVote,
} from '../../packages/dkg/src/ceremony/messages.ts'
import {
  combineCommitments,
  dealerWeights,
  decodeOutcome,
  encodeOutcome,
  keyIdOf,
} from '../../packages/dkg/src/ceremony/outcome.ts'
import { expandReceiverSeed } from '../../packages/dkg/src/ceremony/seeds.ts'
import {
  decodeSigned,
  messageHash,
  type MessageHeader,
  type MessageName,
  signMessage,
  type SignedMessage,
} from '../../packages/dkg/src/ceremony/signed-message.ts'
import { attempt, bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'
import { bytesOf } from '../support/simulated-committee.ts'
import type { LiarHabits } from './habits.ts'
import type { Proposal } from './proposal.ts'
import type { World } from './world.ts'

/** What a liar says instead of the truth, each lie signed with its own key. */
export class Lies {
  readonly #world: World
  readonly #self: ParticipantIndex
  readonly #habits: LiarHabits
  /** The other version of a message: made once, so that everybody who gets it gets the same. */
  readonly #versions = new Map<Uint8Array, Uint8Array | undefined>()
  /** By ceremony and view. */
  readonly #receiverSeeds = new Map<string, Uint8Array>()
  readonly #deals = new Map<string, SignedMessage>()

  constructor(world: World, self: ParticipantIndex, habits: LiarHabits) {
    this.#world = world
    this.#self = self
    this.#habits = habits
  }

  learnReceiver(proposal: Proposal, view: number, seed: Uint8Array): void {
    this.#receiverSeeds.set(`${proposal.key}/${view}`, seed)
  }

  /** What one receiver gets in place of an own message. */
  instead(proposal: Proposal, signed: Uint8Array): Uint8Array {
    const { dice } = this.#world
    const message = decodeSigned(signed)
    const { name } = message.header
    const other = this.#otherVersion(proposal, message)
    if (other === undefined) return signed
    const toAll = (name === 'deal' && !this.#habits.twoDeals) || name === 'join'
    return toAll || dice.chance(0.5) ? other : signed
  }

  #otherVersion(proposal: Proposal, message: SignedMessage): Uint8Array | undefined {
    const { bytes } = message
    if (!this.#versions.has(bytes))
      this.#versions.set(
        bytes,
        attempt(() => this.#lie(proposal, message)),
      )
    return this.#versions.get(bytes)
  }

  #lie(proposal: Proposal, message: SignedMessage): Uint8Array | undefined {
    const { spoiledShares, hidesCert1, splitsJoinset, splitsPropose } = this.#habits
    switch (message.header.name) {
      case 'join':
        return hidesCert1 ? this.#withoutCert1(proposal, message) : undefined
      case 'joinset':
        return splitsJoinset ? this.#smallerJoinset(proposal, message) : undefined
      case 'deal':
        return spoiledShares > 0 ? this.#spoiled(proposal, message) : undefined
      case 'propose':
        return splitsPropose ? this.#smallerOutcome(proposal, message) : undefined
      case 'abandon':
      case 'commit':
      case 'complain':
      case 'vote':
      case 'vouch':
        return undefined
    }
  }

  #sign(header: MessageHeader, payload: Uint8Array): Uint8Array {
    return signMessage(this.#world.kit.identity(this.#self).sign, header, payload).bytes
  }

  #withoutCert1({ parties }: Proposal, { header, payload }: SignedMessage): Uint8Array | undefined {
    const { cert1, ...join } = decodeJoin(this.#world.kit.curve, parties, payload)
    return cert1 === undefined ? undefined : this.#sign(header, encodeJoin(join))
  }

  /** Leaves out a JOIN that carries a CERT1 where there is one, else any. */
  #smallerJoinset({ parties }: Proposal, { header, payload }: SignedMessage): Uint8Array | undefined {
    const { dice, kit } = this.#world
    const joins = decodeJoinset(parties, payload)
    const telling = joins.filter(
      (join) => attempt(() => decodeJoin(kit.curve, parties, decodeSigned(join).payload))?.cert1 !== undefined,
    )
    const dropped = new Set(dice.chance(0.6) && telling.length > 0 ? telling : [dice.pick(joins)])
    return this.#sign(header, encodeJoinset(joins.filter((join) => !dropped.has(join))))
  }

  #spoiled({ parties }: Proposal, message: SignedMessage): Uint8Array {
    const { dice, kit } = this.#world
    const deal = decodeDeal(kit.curve, parties, message.payload)
    const shares = deal.shares.map((share) =>
      dice.chance(this.#habits.spoiledShares)
        ? { ...share, ciphertext: share.ciphertext.map((byte, at) => (at === 31 ? byte ^ 1 : byte)) }
        : share,
    )
    return this.#sign(message.header, encodeDeal({ ...deal, shares }))
  }

  /** Another outcome of the same session, with one dealing less: everything in it adds up. */
  #smallerOutcome(proposal: Proposal, { header, payload }: SignedMessage): Uint8Array | undefined {
    const { parties } = proposal
    const { curve } = this.#world.kit
    const propose = decodePropose(parties, payload)
    if (propose.mode !== 'fresh') return undefined
    const outcome = decodeOutcome(curve, parties.receivers, propose.outcome)
    const dealings = outcome.dealings.slice(1)
    const commitments = dealings.flatMap(({ dealer, dealHash }) => {
      const message = this.#deals.get(`${proposal.key}/${dealer}/${bytesKey(dealHash)}`)
      return message === undefined ? [] : [decodeDeal(curve, parties, message.payload).commitment]
    })
    if (dealings.length < parties.minDealers || commitments.length !== dealings.length) return undefined
    const commitment = combineCommitments(curve, dealerWeights(parties, dealings), commitments)
    const [groupKey] = commitment ?? []
    if (commitment === undefined || groupKey === undefined) return undefined
    const other = { ...outcome, keyId: keyIdOf(parties, groupKey, outcome.sid), commitment, dealings }
    return this.#sign(header, encodePropose({ mode: 'fresh', outcome: encodeOutcome(other) }))
  }

  overhearDeal(proposal: Proposal, message: SignedMessage): void {
    this.#deals.set(`${proposal.key}/${message.header.from}/${bytesKey(messageHash(message))}`, message)
  }

  #header(proposal: Proposal, name: MessageName, view: number): MessageHeader {
    return { name, ceremony: proposal.ceremony, view, from: this.#self }
  }

  /** A VOTE that claims to hold a share, and a COMMIT. */
  support(proposal: Proposal, view: number, outcome: Uint8Array): Uint8Array[] {
    const vote = this.#sign(this.#header(proposal, 'vote', view), encodeVote({ outcomeHash: outcome, holds: true }))
    return [vote, this.#sign(this.#header(proposal, 'commit', view), outcome)]
  }

  abandon(proposal: Proposal): Uint8Array {
    return this.#sign(this.#header(proposal, 'abandon', 0), new Uint8Array(0))
  }

  /** Accuses a dealer: with a proof of nothing, or by opening a dealing to this node truly, whether its share is good or not. */
  complaint(proposal: Proposal, message: SignedMessage): Uint8Array | undefined {
    const { dice, kit } = this.#world
    const { view, from: dealer } = message.header
    const deal = attempt(() => decodeDeal(kit.curve, proposal.parties, message.payload))
    if (deal === undefined) return undefined
    const header = this.#header(proposal, 'complain', view)
    const accusation = { sid: deal.sid, dealer, receiver: this.#self, dealHash: messageHash(message) }
    const seed = this.#receiverSeeds.get(`${proposal.key}/${view}`)
    if (seed === undefined || dice.chance(0.5)) {
      const proof = Uint8Array.from([...bytesOf('e', view), ...bytesOf('s', view)])
      return this.#sign(header, encodeComplain({ ...accusation, shared: kit.curve.generator, proof }))
    }
    const receiver = expandReceiverSeed(Secret.copyOf(seed))
    return this.#sign(header, encodeComplain(createComplaint(kit.curve, accusation, deal.ephemeral, receiver)))
  }
}
