import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, list, type Reader, requireAscending, u16, u8, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { SIGNATURE_BYTES } from '../primitives/ed25519.ts'
import { decodePoint, participantIndex, POINT_BYTES } from '../primitives/point.ts'
import type { ParticipantIndex, PointBytes } from '../primitives/types.ts'
import { DLEQ_PROOF_BYTES } from '../proofs/dleq.ts'
import type { Commitment } from '../sharing/feldman.ts'
import type { Parties } from './parties.ts'
import { HEADER_BYTES } from './signed-message.ts'

/** Payloads of the ceremony messages behind their header (protocol 4). Encoders take typed values, decoders are strict. */

export type JoinRole = 'receiver' | 'dealer' | 'both'
const ROLES: readonly JoinRole[] = ['receiver', 'dealer', 'both']

/** R0. */
export interface JoinPayload {
  readonly role: JoinRole
  /** EK_j; absent for a pure dealer. */
  readonly receiverKey?: PointBytes
  /** c_i, 32 bytes; absent for a pure receiver. */
  readonly dealCommit?: Uint8Array
  /** CERT1 of the highest view the sender knows. */
  readonly cert1?: Uint8Array
}

export function encodeJoin(join: JoinPayload): Uint8Array {
  return concatBytes(
    u8(ROLES.indexOf(join.role) + 1),
    join.receiverKey ?? new Uint8Array(0),
    join.dealCommit ?? new Uint8Array(0),
    u8(join.cert1 === undefined ? 0 : 1),
    join.cert1 === undefined ? new Uint8Array(0) : varBytes(join.cert1),
  )
}

export function decodeJoin(curve: Curve, parties: Parties, payload: Uint8Array): JoinPayload {
  return decodeAll(payload, 'JOIN', (reader) => {
    const role = ROLES[reader.u8('JOIN.role') - 1]
    if (role === undefined) throw dkgError('bad-encoding', 'JOIN.role is unknown')
    const receiverKey = role === 'dealer' ? undefined : readPoint(curve, reader, 'JOIN.receiverKey')
    const dealCommit = role === 'receiver' ? undefined : reader.take(32, 'JOIN.dealCommit')
    const flag = reader.u8('JOIN.hasCert1')
    if (flag > 1) throw dkgError('bad-encoding', 'JOIN.hasCert1 is 0 or 1')
    const cert1 = flag === 1 ? reader.var(parties.maxMessageBytes, 'JOIN.cert1') : undefined
    return {
      role,
      ...(receiverKey && { receiverKey }),
      ...(dealCommit && { dealCommit }),
      ...(cert1 && { cert1 }),
    }
  })
}

/** R1: signed JOINs, ascending by sender. */
export const encodeJoinset = (joins: readonly Uint8Array[]): Uint8Array => list(joins, (join) => join)

/** Splits a JOINSET into its signed JOINs, as bytes. */
export function decodeJoinset(parties: Parties, payload: Uint8Array): Uint8Array[] {
  const { maxMessageBytes: maxBytes, receivers, dealers } = parties
  return decodeAll(payload, 'JOINSET', (reader) =>
    reader.list({ min: 1, max: receivers.n + dealers.n }, 'JOINSET.joins', (item) => {
      const body = item.var(maxBytes, 'JOINSET.join')
      if (body.length < HEADER_BYTES) throw dkgError('bad-encoding', 'JOINSET.join ends inside its header')
      return concatBytes(varBytes(body), item.take(SIGNATURE_BYTES, 'JOINSET.join.signature'))
    }),
  )
}

/** E_ij for one receiver: 32 bytes, the share under a one-time pad. */
export interface EncryptedShare {
  readonly receiver: ParticipantIndex
  readonly ciphertext: Uint8Array
}

/** R2. */
export interface DealPayload {
  readonly sid: Uint8Array
  readonly nonce: Uint8Array
  /** A_i[0..t-1]. */
  readonly commitment: Commitment
  /** R_i. */
  readonly ephemeral: PointBytes
  /** BIP-340 signatures of 64 bytes each. */
  readonly popA: Uint8Array
  readonly popR: Uint8Array
  readonly shares: readonly EncryptedShare[]
}

export function encodeDeal(deal: DealPayload): Uint8Array {
  return concatBytes(
    deal.sid,
    deal.nonce,
    list(deal.commitment, (point) => point),
    deal.ephemeral,
    deal.popA,
    deal.popR,
    list(deal.shares, (share) => concatBytes(u16(share.receiver), share.ciphertext)),
  )
}

/** Refuses any number of commitments but t (D2): a DEAL that fails here is evidence E1 once its signature holds. */
export function decodeDeal(curve: Curve, { receivers }: Parties, payload: Uint8Array): DealPayload {
  const { n, t } = receivers
  return decodeAll(payload, 'DEAL', (reader) => ({
    sid: reader.take(32, 'DEAL.sid'),
    nonce: reader.take(32, 'DEAL.nonce'),
    commitment: reader.list({ min: t, max: t }, 'DEAL.commitment', (item) => readPoint(curve, item, 'DEAL.commitment')),
    ephemeral: readPoint(curve, reader, 'DEAL.ephemeral'),
    popA: reader.take(64, 'DEAL.popA'),
    popR: reader.take(64, 'DEAL.popR'),
    shares: readAscending(
      reader,
      n,
      'DEAL.shares',
      (item) => ({
        receiver: readIndex(item, 'DEAL.shares.receiver'),
        ciphertext: item.take(32, 'DEAL.shares.ciphertext'),
      }),
      (share) => share.receiver,
    ),
  }))
}

/** A dealing by name: u16 i || dealHash(32). */
export interface DealingRef {
  readonly dealer: ParticipantIndex
  readonly dealHash: Uint8Array
}

export const encodeDealingRefs = (refs: readonly DealingRef[]): Uint8Array =>
  list(refs, (ref) => concatBytes(u16(ref.dealer), ref.dealHash))

export const readDealingRefs = (reader: Reader, max: number, field: string): DealingRef[] =>
  readAscending(reader, max, field, readDealingRef, (ref) => ref.dealer)

function readDealingRef(reader: Reader): DealingRef {
  return { dealer: readIndex(reader, 'dealer'), dealHash: reader.take(32, 'dealHash') }
}

/** R3. */
export interface VouchPayload {
  readonly sid: Uint8Array
  readonly dealings: readonly DealingRef[]
}

export const encodeVouch = (vouch: VouchPayload): Uint8Array =>
  concatBytes(vouch.sid, encodeDealingRefs(vouch.dealings))

export const decodeVouch = ({ dealers }: Parties, payload: Uint8Array): VouchPayload =>
  decodeAll(payload, 'VOUCH', (reader) => ({
    sid: reader.take(32, 'VOUCH.sid'),
    dealings: readDealingRefs(reader, dealers.n, 'VOUCH.dealings'),
  }))

/** R3: opens one dealing with proof. */
export interface ComplainPayload {
  readonly sid: Uint8Array
  readonly dealer: ParticipantIndex
  readonly dealHash: Uint8Array
  /** Z_ij = ek_j * R_i. */
  readonly shared: PointBytes
  /** BIP-374, 64 bytes. */
  readonly proof: Uint8Array
}

export const encodeComplain = (complain: ComplainPayload): Uint8Array =>
  concatBytes(complain.sid, u16(complain.dealer), complain.dealHash, complain.shared, complain.proof)

export const decodeComplain = (curve: Curve, payload: Uint8Array): ComplainPayload =>
  decodeAll(payload, 'COMPLAIN', (reader) => ({
    sid: reader.take(32, 'COMPLAIN.sid'),
    dealer: readIndex(reader, 'COMPLAIN.dealer'),
    dealHash: reader.take(32, 'COMPLAIN.dealHash'),
    shared: readPoint(curve, reader, 'COMPLAIN.shared'),
    proof: reader.take(DLEQ_PROOF_BYTES, 'COMPLAIN.proof'),
  }))

/** R4. Mode 2 carries an outcome of an earlier view forward together with its CERT1. */
export type ProposePayload =
  | { readonly mode: 'fresh'; readonly outcome: Uint8Array }
  | { readonly mode: 're-propose'; readonly outcome: Uint8Array; readonly cert1: Uint8Array }

export const encodePropose = (propose: ProposePayload): Uint8Array =>
  propose.mode === 'fresh'
    ? concatBytes(u8(1), varBytes(propose.outcome))
    : concatBytes(u8(2), varBytes(propose.outcome), varBytes(propose.cert1))

export function decodePropose({ maxMessageBytes: maxBytes }: Parties, payload: Uint8Array): ProposePayload {
  return decodeAll(payload, 'PROPOSE', (reader) => {
    const mode = reader.u8('PROPOSE.mode')
    const outcome = reader.var(maxBytes, 'PROPOSE.outcome')
    if (mode === 1) return { mode: 'fresh', outcome }
    if (mode !== 2) throw dkgError('bad-encoding', 'PROPOSE.mode is 1 or 2')
    return { mode: 're-propose', outcome, cert1: reader.var(maxBytes, 'PROPOSE.cert1') }
  })
}

/** R4: o || u8 holds. */
export interface VotePayload {
  readonly outcomeHash: Uint8Array
  readonly holds: boolean
}

export const encodeVote = (vote: VotePayload): Uint8Array => concatBytes(vote.outcomeHash, u8(vote.holds ? 1 : 0))

export function decodeVote(payload: Uint8Array): VotePayload {
  return decodeAll(payload, 'VOTE', (reader) => {
    const outcomeHash = reader.take(32, 'VOTE.outcomeHash')
    return { outcomeHash, holds: readFlag(reader, 'VOTE.holds') }
  })
}

/** R5: o. */
export const decodeCommit = (payload: Uint8Array): Uint8Array =>
  decodeAll(payload, 'COMMIT', (reader) => reader.take(32, 'COMMIT.outcomeHash'))

export function readFlag(reader: Reader, field: string): boolean {
  const flag = reader.u8(field)
  if (flag > 1) throw dkgError('bad-encoding', `${field} is 0 or 1`)
  return flag === 1
}

export const readIndex = (reader: Reader, field: string): ParticipantIndex => participantIndex(reader.u16(field))

export const readPoint = (curve: Curve, reader: Reader, field: string): PointBytes =>
  decodePoint(curve, reader.take(POINT_BYTES, field), field)

/** A list of members: ascending by index, none twice, at most `max`. */
export function readAscending<T>(
  reader: Reader,
  max: number,
  field: string,
  decode: (reader: Reader) => T,
  indexOf: (item: T) => ParticipantIndex,
): T[] {
  const items = reader.list({ min: 0, max }, field, decode)
  requireAscending(items.map(indexOf), field)
  return items
}
