import { gcm } from '@noble/ciphers/aes.js'
import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, list, type Reader, u16, u8 } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { decodePoint, participantIndex, POINT_BYTES } from '../primitives/point.ts'
import type { Secret } from '../primitives/secret.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { DLEQ_PROOF_BYTES } from '../proofs/dleq.ts'
import { TAG_BYTES } from './aead.ts'
import type { PartialDecryption } from './partial.ts'
import { refusalCode, type RefusalCode, refusalStatus } from './refusal.ts'
import { MAX_ITEMS } from './request.ts'

/** u16 index || P D || proof: fits one RSA-2048 OAEP-SHA-256 block (190 bytes). */
export const SINGLE_CONTENT_BYTES: number = 2 + POINT_BYTES + DLEQ_PROOF_BYTES
/** u16 index || list of 256 items. */
export const MAX_BATCH_CONTENT_BYTES: number = 4 + MAX_ITEMS * (1 + POINT_BYTES + DLEQ_PROOF_BYTES)
/** A batch behind the block of an RSA-8192 key. */
export const MAX_BOX_BYTES: number = 1024 + MAX_BATCH_CONTENT_BYTES + TAG_BYTES

/** A node's answer to one item of a batch: one refused item does not refuse the rest. */
export type BatchItem =
  | ({ readonly kind: 'partial' } & PartialDecryption)
  | { readonly kind: 'refusal'; readonly code: RefusalCode }

/** What the box for a request of several items holds, in the order asked. */
export interface BatchContent {
  readonly index: ParticipantIndex
  readonly items: readonly BatchItem[]
}

/** What the box for a request of one item holds. */
export interface SingleContent extends PartialDecryption {
  readonly index: ParticipantIndex
}

/** 99 bytes. */
export const encodeSingle = ({ index, D, proof }: SingleContent): Uint8Array =>
  concatBytes(u16(index), D, requireProof(proof))

/** @throws KmsError `bad-encoding`, `bad-index`, `bad-point` */
export function decodeSingle(curve: Curve, content: Uint8Array): SingleContent {
  return decodeAll(content, 'box', (reader) => ({
    index: participantIndex(reader.u16('box.index')),
    ...readPartial(curve, reader),
  }))
}

/** u16 index || list(u8 status || [P D || proof if status = 0]). @throws KmsError `bad-box` beyond 256 items */
export function encodeBatch({ index, items }: BatchContent): Uint8Array {
  if (items.length < 1 || items.length > MAX_ITEMS) throw dkgError('bad-box', `a batch has 1 to ${MAX_ITEMS} items`)
  return concatBytes(
    u16(index),
    list(items, (item) =>
      item.kind === 'partial' ? concatBytes(u8(0), item.D, requireProof(item.proof)) : u8(refusalStatus(item.code)),
    ),
  )
}

/** @throws KmsError `bad-encoding`, `bad-index`, `bad-point`, `bad-box` for an unknown status */
export function decodeBatch(curve: Curve, content: Uint8Array): BatchContent {
  return decodeAll(content, 'box', (reader) => ({
    index: participantIndex(reader.u16('box.index')),
    items: reader.list({ min: 1, max: MAX_ITEMS }, 'box.items', (entry) => readBatchItem(curve, entry)),
  }))
}

// The key is drawn for one box and used once, so a fixed nonce never repeats under it (interfaces 2).
export const BOX_NONCE: Uint8Array = new Uint8Array(12)
export const BOX_KEY_BYTES = 32

/**
 * AES-256-GCM over the content of a batch; goes behind the RSA block that wraps `key`.
 * @param key 32 fresh random bytes, for this box alone. @param ctx `pdecContext`, as AAD
 */
export function sealBatch(key: Secret, ctx: Uint8Array, content: Uint8Array): Uint8Array {
  requireKey(key)
  return key.use((bytes) => gcm(bytes, BOX_NONCE, ctx).encrypt(content))
}

/** Opens what `sealBatch` made. @throws KmsError `bad-box` */
export function openBatch(key: Secret, ctx: Uint8Array, sealed: Uint8Array): Uint8Array {
  requireKey(key)
  if (sealed.length < TAG_BYTES || sealed.length > MAX_BATCH_CONTENT_BYTES + TAG_BYTES)
    throw dkgError('bad-box', 'a box has a wrong length')
  try {
    return key.use((bytes) => gcm(bytes, BOX_NONCE, ctx).decrypt(sealed))
  } catch (cause) {
    throw dkgError('bad-box', 'the box does not open for this request', { cause })
  }
}

/** The parts of a batch box: the RSA block, as long as the modulus, then what `sealBatch` made. @throws KmsError `bad-box` */
export function splitBox(
  box: Uint8Array,
  modulusBytes: number,
): { readonly rsaBlock: Uint8Array; readonly sealed: Uint8Array } {
  if (box.length < modulusBytes + TAG_BYTES || box.length > MAX_BOX_BYTES)
    throw dkgError('bad-box', 'a box has a wrong length')
  return { rsaBlock: box.slice(0, modulusBytes), sealed: box.slice(modulusBytes) }
}

function readPartial(curve: Curve, reader: Reader): PartialDecryption {
  const D = decodePoint(curve, reader.take(POINT_BYTES, 'box.D'), 'D')
  return { D, proof: reader.take(DLEQ_PROOF_BYTES, 'box.proof') }
}

function readBatchItem(curve: Curve, reader: Reader): BatchItem {
  const status = reader.u8('box.status')
  if (status === 0) return { kind: 'partial', ...readPartial(curve, reader) }
  const code = refusalCode(status)
  if (code === undefined) throw dkgError('bad-box', 'an item has an unknown status', { data: { status } })
  return { kind: 'refusal', code }
}

function requireKey(key: Secret): void {
  if (key.length !== BOX_KEY_BYTES) throw dkgError('bad-parameters', 'the key of a box has 32 bytes')
}

function requireProof(proof: Uint8Array): Uint8Array {
  if (proof.length !== DLEQ_PROOF_BYTES) throw dkgError('bad-box', 'a proof has 64 bytes')
  return proof
}
