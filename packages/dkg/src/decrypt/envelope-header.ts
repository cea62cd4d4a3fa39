import { concatBytes } from '@noble/hashes/utils.js'
import { decodeAll, u32, u64, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { taggedHash, taggedHashBy } from '../primitives/hash.ts'
import { decodePoint, id32, POINT_BYTES } from '../primitives/point.ts'
import type { KeyId, PointBytes } from '../primitives/types.ts'
import { verifyDleq } from '../proofs/dleq.ts'

/** What an envelope is bound to: u64 chainId || handle(32) || TH("policy", policy)(32) (protocol 10.2). */
export interface EnvelopeLabel {
  /** 0 = no chain; below 2^53. */
  readonly chainId: number
  /** 32 bytes: the envelope's name. */
  readonly handle: Uint8Array
  /** 32 bytes. */
  readonly policyHash: Uint8Array
}

/** The public head of a v2 envelope, all that a node needs together with the proof and the ciphertext's hash (protocol 10.2). */
export interface EnvelopeHeader {
  readonly keyId: KeyId
  readonly label: EnvelopeLabel
  /** K = k * G. */
  readonly K: PointBytes
  /** Kbar = k * Gbar. */
  readonly Kbar: PointBytes
  /** kc, 32 bytes: commits to the one key that opens the ciphertext. */
  readonly keyCommitment: Uint8Array
}

/** A header with what proves it: pi ties K, Kbar, key, label, commitment and ciphertext to one who knew k. */
export interface ProvenHeader {
  readonly header: EnvelopeHeader
  /** 64 bytes, BIP-374. */
  readonly proof: Uint8Array
  /** TH("ct", ct), 32 bytes. */
  readonly ctHash: Uint8Array
}

/** u64 || 32 || 32. */
export const LABEL_BYTES = 72
/** keyId || var label || P K || P Kbar || kc. */
export const HEADER_BYTES: number = 32 + 4 + LABEL_BYTES + 2 * POINT_BYTES + 32

const encodeLabel = (label: EnvelopeLabel): Uint8Array =>
  concatBytes(u64(label.chainId), id32(label.handle, 'label.handle'), id32(label.policyHash, 'label.policyHash'))

/** keyId || var label || P K || P Kbar || kc: 206 bytes. Also the AAD of the ciphertext. */
export function encodeHeader(header: EnvelopeHeader): Uint8Array {
  return concatBytes(
    id32(header.keyId, 'header.keyId'),
    varBytes(encodeLabel(header.label)),
    header.K,
    header.Kbar,
    id32(header.keyCommitment, 'header.keyCommitment'),
  )
}

/**
 * Strict: exactly 206 bytes, both points valid.
 * @throws KmsError `bad-encoding`, `bad-point`
 */
export function decodeHeader(curve: Curve, bytes: Uint8Array): EnvelopeHeader {
  return decodeAll(bytes, 'header', (reader) => {
    const keyId = id32<KeyId>(reader.take(32, 'header.keyId'), 'header.keyId')
    const label = decodeAll(reader.var(LABEL_BYTES, 'header.label'), 'header.label', (inner) => ({
      chainId: inner.u64('label.chainId'),
      handle: inner.take(32, 'label.handle'),
      policyHash: inner.take(32, 'label.policyHash'),
    }))
    const K = decodePoint(curve, reader.take(POINT_BYTES, 'header.K'), 'K')
    const Kbar = decodePoint(curve, reader.take(POINT_BYTES, 'header.Kbar'), 'Kbar')
    return { keyId, label, K, Kbar, keyCommitment: reader.take(32, 'header.keyCommitment') }
  })
}

/** TH("ct", ct), 32 bytes: all that a node sees of a ciphertext (ct || tag). */
export const ciphertextHash = (ciphertext: Uint8Array): Uint8Array => taggedHash('ct', ciphertext)

const LABEL_LENGTH = u32(LABEL_BYTES)

/** m = TH("hdr", keyId || var label || kc || TH("ct", ct)), 32 bytes; K and Kbar enter the proof as its points. */
export function headerMessage(curve: Curve, header: EnvelopeHeader, ctHash: Uint8Array): Uint8Array {
  return taggedHashBy(
    curve,
    'hdr',
    header.keyId,
    LABEL_LENGTH,
    u64(header.label.chainId),
    id32(header.label.handle, 'label.handle'),
    id32(header.label.policyHash, 'label.policyHash'),
    header.keyCommitment,
    id32(ctHash, 'ctHash'),
  )
}

/**
 * Whether whoever made the header knew k with K = k*G and Kbar = k*Gbar, and attached exactly this label, commitment and ciphertext
 * (protocol 10.2). A node checks it before it multiplies; a client checks it against its own ciphertext before it asks.
 */
export function verifyHeaderProof(curve: Curve, { header, proof, ctHash }: ProvenHeader): boolean {
  return verifyDleq(
    curve,
    {
      A: header.K,
      B: curve.secondGenerator,
      C: header.Kbar,
      base: curve.generator,
      message: headerMessage(curve, header, ctHash),
    },
    proof,
  )
}
