import { concatBytes } from '@noble/hashes/utils.js'
import { type CommitteeConfig, MAX_MEMBERS, memberAt, quorum } from '../ceremony/config.ts'
import { readAscending, readIndex } from '../ceremony/messages.ts'
import { dkgError } from '../errors.ts'
import { attempt, decodeAll, equalBytes, list, type Reader, u16, u32, u8 } from '../primitives/codec.ts'
import {
  SIGNATURE_BYTES,
  type SignMessage,
  signTagged,
  type VerifyMessage,
  verifyTagged,
} from '../primitives/ed25519.ts'
import type { KeyId, NodePublicKey, ParticipantIndex, SharingId } from '../primitives/types.ts'

/**
 * DESTROY of a key generation and the proof that it happened (protocol 8). Everything here is public and may be relayed.
 * A `destroy` frame carries `u8 1 || u8 kind || rest`, an `erased` frame one ERASED.
 */

/** One sharing of the generation, as its verified certificate says. */
export interface DestroySharing {
  readonly keyId: KeyId
  readonly generation: number
  readonly epoch: number
  readonly sharingId: SharingId
  /** The sharing it was made from; absent for the first one. */
  readonly prevOutcome?: SharingId
  readonly config: CommitteeConfig
}

/** keyId || u32 generation || o: what members sign under "destroy". o is the sharing that was current when they did. 68 bytes. */
export interface DestroyOrder {
  readonly keyId: KeyId
  readonly generation: number
  readonly sharingId: SharingId
}

export interface OrderSignature {
  readonly index: ParticipantIndex
  readonly signature: Uint8Array
}

/** keyId || u32 generation || o || u16 j under "destroyed": j erased its shares of every epoch, refuses the key for ever. 70 bytes. */
export interface DestroyReceipt extends DestroyOrder {
  readonly from: ParticipantIndex
}

/** keyId || u32 e || o of e+1 || u16 j under "erased": j erased its share of epoch e on the word of that certificate (protocol 8.4). */
export interface ErasedStatement {
  readonly keyId: KeyId
  readonly epoch: number
  readonly successor: SharingId
  readonly from: ParticipantIndex
}

export const ORDER_TAG = 'destroy'
export const RECEIPT_TAG = 'destroyed'
export const ERASED_TAG = 'erased'

export type DestroyMessage =
  | { readonly kind: 'signature'; readonly order: DestroyOrder; readonly signature: OrderSignature }
  | { readonly kind: 'order'; readonly order: DestroyOrder; readonly signatures: readonly OrderSignature[] }
  | { readonly kind: 'receipt'; readonly receipt: DestroyReceipt; readonly signature: Uint8Array }

const KINDS: readonly DestroyMessage['kind'][] = ['signature', 'order', 'receipt']
const VERSION = 1
const ORDER_BYTES = 68
/** The longest message: an order with 64 signatures. */
export const MAX_DESTROY_MESSAGE_BYTES: number = 2 + ORDER_BYTES + 2 + (2 + SIGNATURE_BYTES) * MAX_MEMBERS

const encodeOrder = ({ keyId, generation, sharingId }: DestroyOrder): Uint8Array =>
  concatBytes(keyId, u32(generation), sharingId)

const encodeReceipt = (receipt: DestroyReceipt): Uint8Array => concatBytes(encodeOrder(receipt), u16(receipt.from))

const encodeStatement = ({ keyId, epoch, successor, from }: ErasedStatement): Uint8Array =>
  concatBytes(keyId, u32(epoch), successor, u16(from))

export const orderOf = ({ keyId, generation, sharingId }: DestroySharing): DestroyOrder => ({
  keyId,
  generation,
  sharingId,
})

const head = (kind: DestroyMessage['kind']): Uint8Array => concatBytes(u8(VERSION), u8(KINDS.indexOf(kind) + 1))
const encodeSignature = ({ index, signature }: OrderSignature): Uint8Array => concatBytes(u16(index), signature)

/** @throws KmsError `bad-encoding` for numbers out of range */
export function encodeDestroyMessage(message: DestroyMessage): Uint8Array {
  switch (message.kind) {
    case 'signature':
      return concatBytes(head('signature'), encodeOrder(message.order), encodeSignature(message.signature))
    case 'order':
      return concatBytes(head('order'), encodeOrder(message.order), list(message.signatures, encodeSignature))
    case 'receipt':
      return concatBytes(head('receipt'), encodeReceipt(message.receipt), message.signature)
  }
}

const readOrder = (reader: Reader): DestroyOrder => ({
  keyId: reader.take(32, 'destroy.keyId') as KeyId,
  generation: reader.u32('destroy.generation'),
  sharingId: reader.take(32, 'destroy.sharingId') as SharingId,
})

const readSignature = (reader: Reader): OrderSignature => ({
  index: readIndex(reader, 'destroy.index'),
  signature: reader.take(SIGNATURE_BYTES, 'destroy.signature'),
})

/** Strict; signatures are not checked. @throws KmsError `bad-encoding`, `bad-index`, `too-large` */
export function decodeDestroyMessage(bytes: Uint8Array): DestroyMessage {
  if (bytes.length > MAX_DESTROY_MESSAGE_BYTES)
    throw dkgError('too-large', 'an order to destroy is longer than any committee allows')
  return decodeAll(bytes, 'destroy message', (reader) => {
    if (reader.u8('version') !== VERSION) throw dkgError('bad-encoding', 'unknown version of a destroy message')
    const kind = KINDS[reader.u8('kind') - 1]
    if (kind === undefined) throw dkgError('bad-encoding', 'unknown kind of destroy message')
    const order = readOrder(reader)
    if (kind === 'signature') return { kind, order, signature: readSignature(reader) }
    if (kind === 'receipt') {
      const from = readIndex(reader, 'destroy.from')
      return { kind, receipt: { ...order, from }, signature: reader.take(SIGNATURE_BYTES, 'destroy.signature') }
    }
    const signatures = readAscending(reader, MAX_MEMBERS, 'destroy.signatures', readSignature, ({ index }) => index)
    return { kind, order, signatures }
  })
}

/** Which key a destroy message is about, so that a driver can find its collector; undefined for bytes that are none. */
export function destroyedKeyOf(bytes: Uint8Array): KeyId | undefined {
  const message = attempt(() => decodeDestroyMessage(bytes))
  if (message === undefined) return undefined
  return message.kind === 'receipt' ? message.receipt.keyId : message.order.keyId
}

export function signOrder(sign: SignMessage, sharing: DestroySharing, self: ParticipantIndex): OrderSignature {
  return { index: self, signature: signTagged(sign, ORDER_TAG, encodeOrder(orderOf(sharing))) }
}

/** Whether an order is for this very sharing. */
export const isOrderFor = (order: DestroyOrder, { keyId, generation, sharingId }: DestroySharing): boolean =>
  equalBytes(order.keyId, keyId) && order.generation === generation && equalBytes(order.sharingId, sharingId)

/** Whether a member of this very sharing signed the order for it. */
export function verifyOrderSignature(
  verify: VerifyMessage,
  sharing: DestroySharing,
  order: DestroyOrder,
  { index, signature }: OrderSignature,
): boolean {
  const member = memberAt(sharing.config, index)
  return (
    member !== undefined &&
    isOrderFor(order, sharing) &&
    verifyTagged(verify, member.publicKey, ORDER_TAG, encodeOrder(order), signature)
  )
}

/** At least Q signatures of distinct members of the sharing that the order names, and not one bad among them. */
export function verifyOrder(
  verify: VerifyMessage,
  sharing: DestroySharing,
  order: DestroyOrder,
  signatures: readonly OrderSignature[],
): boolean {
  return (
    signatures.length >= quorum(sharing.config) &&
    new Set(signatures.map(({ index }) => index)).size === signatures.length &&
    signatures.every((signature) => verifyOrderSignature(verify, sharing, order, signature))
  )
}

/** The identity of an index in any committee of the generation: indices are never reused in a cluster. */
function identityIn(sharings: readonly DestroySharing[], index: number): NodePublicKey | undefined {
  for (const { config } of sharings) {
    const member = memberAt(config, index)
    if (member !== undefined) return member.publicKey
  }
  return undefined
}

/** The receipt of this node, as its `receipt` message: signed only behind the erasure. */
export function createReceipt(sign: SignMessage, sharing: DestroySharing, self: ParticipantIndex): DestroyMessage {
  const receipt = { ...orderOf(sharing), from: self }
  return { kind: 'receipt', receipt, signature: signTagged(sign, RECEIPT_TAG, encodeReceipt(receipt)) }
}

/**
 * Whether the node that the receipt names signed it, for this generation.
 * @param sharings every known sharing of the generation
 */
export function verifyReceipt(
  verify: VerifyMessage,
  sharings: readonly DestroySharing[],
  receipt: DestroyReceipt,
  signature: Uint8Array,
): boolean {
  return (
    sharings.some((sharing) => isOrderFor(receipt, sharing)) && isReceiptSigned(verify, sharings, receipt, signature)
  )
}

/** Whether a member of some known sharing signed the receipt, for whatever sharing. */
export function isReceiptSigned(
  verify: VerifyMessage,
  sharings: readonly DestroySharing[],
  receipt: DestroyReceipt,
  signature: Uint8Array,
): boolean {
  const publicKey = identityIn(sharings, receipt.from)
  return publicKey !== undefined && verifyTagged(verify, publicKey, RECEIPT_TAG, encodeReceipt(receipt), signature)
}

/** ERASED of one epoch: statement || signature(64). 134 bytes. */
export const encodeErased = (statement: ErasedStatement, signature: Uint8Array): Uint8Array =>
  concatBytes(encodeStatement(statement), signature)

/** Signs and encodes the ERASED of this node for the epoch before `successor`. Only behind the erasure. */
export function createErased(sign: SignMessage, successor: DestroySharing, self: ParticipantIndex): Uint8Array {
  const { keyId, epoch, sharingId } = successor
  const statement = { keyId, epoch: epoch - 1, successor: sharingId, from: self }
  return encodeErased(statement, signTagged(sign, ERASED_TAG, encodeStatement(statement)))
}

/** Strict; the signature is not checked. @throws KmsError `bad-encoding`, `bad-index` */
export const decodeErased = (
  bytes: Uint8Array,
): { readonly statement: ErasedStatement; readonly signature: Uint8Array } =>
  decodeAll(bytes, 'ERASED', (reader) => ({
    statement: {
      keyId: reader.take(32, 'ERASED.keyId') as KeyId,
      epoch: reader.u32('ERASED.epoch'),
      successor: reader.take(32, 'ERASED.successor') as SharingId,
      from: readIndex(reader, 'ERASED.from'),
    },
    signature: reader.take(SIGNATURE_BYTES, 'ERASED.signature'),
  }))

/**
 * The statement in an `erased` frame, when a member of the sharing before `successor` signed it and that successor is known.
 * @param sharings every known sharing of the generation, from verified certificates
 */
export function verifyErased(
  verify: VerifyMessage,
  sharings: readonly DestroySharing[],
  bytes: Uint8Array,
): ErasedStatement | undefined {
  const decoded = attempt(() => decodeErased(bytes))
  if (decoded === undefined) return undefined
  const { statement, signature } = decoded
  const left = sharingLeft(sharings, statement)
  const member = left && memberAt(left.config, statement.from)
  const signed =
    member !== undefined && verifyTagged(verify, member.publicKey, ERASED_TAG, encodeStatement(statement), signature)
  return signed ? statement : undefined
}

/** Whether a member of some known sharing signed the ERASED, for whatever sharing. */
export function isErasedSigned(
  verify: VerifyMessage,
  sharings: readonly DestroySharing[],
  statement: ErasedStatement,
  signature: Uint8Array,
): boolean {
  const publicKey = identityIn(sharings, statement.from)
  return publicKey !== undefined && verifyTagged(verify, publicKey, ERASED_TAG, encodeStatement(statement), signature)
}

/** The sharing of epoch e that an ERASED says is gone: the one its successor was made from. */
export function sharingLeft(
  sharings: readonly DestroySharing[],
  { keyId, epoch, successor }: ErasedStatement,
): DestroySharing | undefined {
  const next = sharings.find(
    (sharing) =>
      equalBytes(sharing.keyId, keyId) && sharing.epoch === epoch + 1 && equalBytes(sharing.sharingId, successor),
  )
  const { prevOutcome } = next ?? {}
  return sharings.find(
    (sharing) => sharing.epoch === epoch && prevOutcome !== undefined && equalBytes(sharing.sharingId, prevOutcome),
  )
}
