import { partiesOf } from '../../packages/dkg/src/ceremony/parties.ts'
import { createComplaint } from '../../packages/dkg/src/ceremony/complaint.ts'
import {
  decodeDeal,
  decodeJoinset,
  decodePropose,
  type DealPayload,
  encodeComplain,
  encodeDeal,
  encodeJoinset,
  encodePropose,
} from '../../packages/dkg/src/ceremony/messages.ts'
import { decodeOutcome, encodeOutcome, type Outcome } from '../../packages/dkg/src/ceremony/outcome.ts'
import { expandDealingSeed, expandReceiverSeed, openPolynomial } from '../../packages/dkg/src/ceremony/seeds.ts'
import {
  decodeSigned,
  type MessageHeader,
  messageHash,
  type MessageName,
  signMessage,
  type SignedMessage,
} from '../../packages/dkg/src/ceremony/signed-message.ts'
import { attempt, equalBytes } from '../../packages/dkg/src/primitives/codec.ts'
import { encodeScalar } from '../../packages/dkg/src/primitives/scalar.ts'
import { evaluatePolynomial } from '../../packages/dkg/src/sharing/polynomial.ts'
import { bytesOf, type Committee, type Identity } from './simulated-committee.ts'
import { nodeSeed, type Tamper } from './simulation.ts'

/** Faulty nodes: each runs the honest engine and lies in what it sends, signing its lies with its own key. */

function identityOf(committee: Committee, index: number): Identity {
  const identity = committee.identities.find((candidate) => candidate.index === index)
  if (identity === undefined) throw new Error(`node ${index} is not in the committee`)
  return identity
}

function flipped(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[copy.length - 1] = (copy[copy.length - 1] ?? 0) ^ 1
  return copy
}

/** Sends another DEAL than the engine made, and no VOUCH, which would name the original. */
function rewriteDeal(committee: Committee, culprit: number, change: (deal: DealPayload) => DealPayload): Tamper {
  const { sign } = identityOf(committee, culprit)
  let original: Uint8Array | undefined
  return ({ header, payload, bytes }) => {
    if (header.name === 'vouch') return undefined
    if (header.name !== 'deal') return [bytes]
    original ??= payload
    // Its engine may hear its lie from others and call it one: it does not pass that on.
    if (!equalBytes(original, payload)) return undefined
    const deal = attempt(() => decodeDeal(committee.curve, partiesOf(committee.spec), payload))
    return [deal === undefined ? bytes : signMessage(sign, header, encodeDeal(change(deal))).bytes]
  }
}

const spoilShareOf = (deal: DealPayload, victim: number): DealPayload => ({
  ...deal,
  shares: deal.shares.map((share) =>
    share.receiver === victim ? { ...share, ciphertext: flipped(share.ciphertext) } : share,
  ),
})

export const dealBadShare = (committee: Committee, culprit: number, victim: number): Tamper =>
  rewriteDeal(committee, culprit, (deal) => spoilShareOf(deal, victim))

export const wrongCommitments = (committee: Committee, culprit: number, count: number): Tamper =>
  rewriteDeal(committee, culprit, (deal) => ({
    ...deal,
    commitment: Array.from({ length: count }, (_, k) => deal.commitment[k] ?? committee.curve.generator),
  }))

/**
 * Encrypts 32 chosen bytes to `victim` where its share belongs. The dealer knows the share it dealt, so it can turn the
 * ciphertext of one into the ciphertext of the other.
 */
export function dealBytes(committee: Committee, culprit: number, victim: number, wanted: Uint8Array): Tamper {
  const { t, members } = committee.spec.newConfig
  const receivers = members.map(({ index }) => index)
  const polynomial = openPolynomial(expandDealingSeed(nodeSeed(0, 'dealing', culprit), t, receivers))
  const dealt = encodeScalar(evaluatePolynomial(polynomial, identityOf(committee, victim).index))
  return rewriteDeal(committee, culprit, (deal) => ({
    ...deal,
    shares: deal.shares.map((share) =>
      share.receiver === victim
        ? { ...share, ciphertext: share.ciphertext.map((byte, at) => byte ^ (dealt[at] ?? 0) ^ (wanted[at] ?? 0)) }
        : share,
    ),
  }))
}

/** Opens its commitment with another nonce than the one it committed to: everything else of the DEAL holds. */
export const openOtherNonce = (committee: Committee, culprit: number): Tamper =>
  rewriteDeal(committee, culprit, (deal) => ({ ...deal, nonce: flipped(deal.nonce) }))

/** Leaves one receiver of the JOINSET out of its DEAL. */
export const omitReceiver = (committee: Committee, culprit: number, victim: number): Tamper =>
  rewriteDeal(committee, culprit, (deal) => ({
    ...deal,
    shares: deal.shares.filter(({ receiver }) => receiver !== victim),
  }))

export const badPossession = (committee: Committee, culprit: number, which: 'popA' | 'popR'): Tamper =>
  rewriteDeal(committee, culprit, (deal) => ({ ...deal, [which]: flipped(deal[which]) }))

/** One DEAL to nodes of odd index, another to the rest. */
export function equivocate(committee: Committee, culprit: number): Tamper {
  const { sign } = identityOf(committee, culprit)
  return ({ header, payload, bytes }, to) => {
    if (header.name === 'vouch') return undefined
    if (header.name !== 'deal' || to % 2 === 1) return [bytes]
    const deal = decodeDeal(committee.curve, partiesOf(committee.spec), payload)
    return [signMessage(sign, header, encodeDeal(spoilShareOf(deal, culprit))).bytes]
  }
}

/** Accuses `victim` with a proof that proves nothing. */
export const randomComplaint = (committee: Committee, culprit: number, victim: number): Accusation =>
  accuse(committee, culprit, victim, (sid, dealHash) =>
    encodeComplain({
      sid,
      dealer: identityOf(committee, victim).index,
      dealHash,
      shared: committee.curve.generator,
      proof: Uint8Array.from([...bytesOf('e'), ...bytesOf('s')]),
    }),
  )

/** Accuses `victim` by opening its dealing with a valid proof, although the share inside is good. */
export const complainFalsely = (committee: Committee, culprit: number, victim: number): Accusation =>
  accuse(committee, culprit, victim, (sid, dealHash, deal) => {
    const receiver = expandReceiverSeed(nodeSeed(0, 'receiver', culprit))
    const accusation = {
      sid,
      dealer: identityOf(committee, victim).index,
      receiver: identityOf(committee, culprit).index,
      dealHash,
    }
    return encodeComplain(createComplaint(committee.curve, accusation, deal.ephemeral, receiver))
  })

/** A false accusation: what the adversary sends, and how it learns the victim's DEAL, which is broadcast. */
export interface Accusation {
  readonly tamper: Tamper
  readonly overhear: (message: SignedMessage) => void
}

/** Puts a COMPLAIN about `victim` in front of the culprit's VOUCH. */
function accuse(
  committee: Committee,
  culprit: number,
  victim: number,
  complain: (sid: Uint8Array, dealHash: Uint8Array, deal: DealPayload) => Uint8Array,
): Accusation {
  const { sign } = identityOf(committee, culprit)
  let heard: SignedMessage | undefined
  return {
    overhear: (message) => {
      if (message.header.name === 'deal' && message.header.from === victim) heard = message
    },
    tamper: ({ header, bytes }) => {
      if (header.name !== 'vouch' || heard === undefined) return [bytes]
      const deal = decodeDeal(committee.curve, partiesOf(committee.spec), heard.payload)
      const payload = complain(deal.sid, messageHash(heard), deal)
      return [signMessage(sign, { ...header, name: 'complain' }, payload).bytes, bytes]
    },
  }
}

/** Repeats what it sends, signed as another message: `change` says as which. */
export function repeatAs(
  committee: Committee,
  culprit: number,
  name: MessageName,
  change: (header: MessageHeader) => MessageHeader,
): Tamper {
  const { sign } = identityOf(committee, culprit)
  return ({ header, payload, bytes }) =>
    header.name === name ? [signMessage(sign, change(header), payload).bytes, bytes] : [bytes]
}

/** A leader that shows `victim` a JOINSET without it, and the whole one to everybody else. */
export function hideJoinOf(committee: Committee, culprit: number, victim: number): Tamper {
  const { sign } = identityOf(committee, culprit)
  return ({ header, payload, bytes }, to) => {
    if (header.name !== 'joinset' || to !== victim) return [bytes]
    const joins = decodeJoinset(partiesOf(committee.spec), payload)
    const others = joins.filter((join) => decodeSigned(join).header.from !== victim)
    return [signMessage(sign, header, encodeJoinset(others)).bytes]
  }
}

/** A leader that changes the outcome it proposes. */
export function proposeOther(committee: Committee, culprit: number, change: (outcome: Outcome) => Outcome): Tamper {
  const { sign } = identityOf(committee, culprit)
  const { curve, spec } = committee
  return ({ header, payload, bytes }) => {
    if (header.name === 'vote' && header.from === culprit) return undefined
    if (header.name !== 'propose') return [bytes]
    const proposal = decodePropose(partiesOf(spec), payload)
    const outcome = encodeOutcome(change(decodeOutcome(curve, spec.newConfig, proposal.outcome)))
    return [signMessage(sign, header, encodePropose({ mode: 'fresh', outcome })).bytes]
  }
}

/** A leader whose JOINSET holds what it must not hold. */
export function contradictJoinset(
  committee: Committee,
  culprit: number,
  change: (joins: readonly Uint8Array[]) => readonly Uint8Array[],
): Tamper {
  const { sign } = identityOf(committee, culprit)
  let original: Uint8Array | undefined
  return ({ header, payload, bytes }) => {
    if (header.name !== 'joinset') return [bytes]
    original ??= payload
    if (!equalBytes(original, payload)) return undefined
    const joins = attempt(() => decodeJoinset(partiesOf(committee.spec), payload))
    return [joins === undefined ? bytes : signMessage(sign, header, encodeJoinset(change(joins))).bytes]
  }
}

/** Ways in which a JOINSET contradicts itself, by name. */
export function badJoinsets(committee: Committee): ReadonlyMap<string, (joins: readonly Uint8Array[]) => Uint8Array[]> {
  const firstChanged = (change: (join: SignedMessage) => Uint8Array) => (joins: readonly Uint8Array[]) =>
    joins.map((join, at) => (at === 0 ? change(decodeSigned(join)) : join))
  const signerOf = ({ header }: SignedMessage): Identity => identityOf(committee, header.from)
  return new Map([
    ['names a member twice', (joins) => joins.map((join, at) => (at === 1 ? (joins[0] ?? join) : join))],
    ['names members out of order', (joins) => joins.toReversed()],
    ['has fewer JOINs than a quorum', (joins) => joins.slice(0, 3)],
    ['holds a JOIN that its sender did not sign', firstChanged(({ bytes }) => flipped(bytes))],
    [
      'holds a JOIN of another view',
      firstChanged((join) => signMessage(signerOf(join).sign, { ...join.header, view: 1 }, join.payload).bytes),
    ],
    [
      'holds something else than a JOIN',
      firstChanged((join) => signMessage(signerOf(join).sign, { ...join.header, name: 'vouch' }, join.payload).bytes),
    ],
    [
      'holds a JOIN without a dealing',
      firstChanged((join) => {
        const role = Uint8Array.from([1, ...join.payload.subarray(1, 34), 0])
        return signMessage(signerOf(join).sign, join.header, role).bytes
      }),
    ],
  ])
}
