import { ed25519 } from '@noble/curves/ed25519.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { bytesKey } from './codec.ts'
import { signedBytes } from './hash.ts'
import type { NodePublicKey } from './types.ts'

export const SIGNATURE_BYTES = 64

/** Signs `message` with the node's Ed25519 identity key. Deterministic (RFC 8032): the same bytes give the same signature. */
export type SignMessage = (message: Uint8Array) => Uint8Array

/** Verifies an Ed25519 signature. Never throws. */
export type VerifyMessage = (publicKey: NodePublicKey, message: Uint8Array, signature: Uint8Array) => boolean

/**
 * The one verifier for everything a quorum, a certificate or evidence rests on (protocol 3): noble, RFC 8032 strict.
 * OpenSSL accepts small-order keys that this refuses; two verifiers in one committee would let a member split the quorum.
 */
export const verifyEd25519: VerifyMessage = (publicKey, message, signature) => {
  if (signature.length !== SIGNATURE_BYTES || publicKey.length !== 32) return false
  try {
    return ed25519.verify(signature, message, publicKey, { zip215: false })
  } catch {
    // noble throws on encodings that are not points or scalars; all of them mean "not a signature".
    return false
  }
}

/**
 * The same answers, each signature verified once: a certificate repeats votes and commits that came one by one before.
 * @param maxEntries signatures that hold and are remembered; the oldest is forgotten first
 */
export function rememberVerified(verify: VerifyMessage, maxEntries: number): VerifyMessage {
  const known = new Set<string>()
  return (publicKey, message, signature) => {
    const key = bytesToHex(sha256(concatBytes(sha256(message), publicKey, signature)))
    if (known.has(key)) return true
    if (!verify(publicKey, message, signature)) return false
    const [oldest] = known
    if (known.size >= maxEntries && oldest !== undefined) known.delete(oldest)
    known.add(key)
    return true
  }
}

/**
 * Admits an Ed25519 public key: 32 canonical bytes, on the curve, not of small order (protocol 3).
 * @throws KmsError `bad-config`
 */
export function decodeNodePublicKey(bytes: Uint8Array, field = 'ed25519'): NodePublicKey {
  if (!isAdmitted(bytes))
    throw dkgError('bad-config', `${field} is not an Ed25519 public key of prime order`, { data: { field } })
  return bytes as NodePublicKey
}

/** Keys that passed: the subgroup check costs a multiplication, and every certificate names its whole committee again. Public values. */
const admitted = new Set<string>()
const MAX_ADMITTED = 4096

function isAdmitted(bytes: Uint8Array): boolean {
  const key = bytesKey(bytes)
  if (admitted.has(key)) return true
  if (!isStrongKey(bytes)) return false
  if (admitted.size < MAX_ADMITTED) admitted.add(key)
  return true
}

function isStrongKey(bytes: Uint8Array): boolean {
  if (bytes.length !== 32) return false
  try {
    const point = ed25519.Point.fromBytes(bytes, false)
    return !point.isSmallOrder() && point.isTorsionFree()
  } catch {
    return false
  }
}

/** sig(tag, body), protocol 3. @returns 64 bytes */
export const signTagged = (sign: SignMessage, tag: string, body: Uint8Array): Uint8Array => sign(signedBytes(tag, body))

/** Verifies sig(tag, body), protocol 3. */
export const verifyTagged = (
  verify: VerifyMessage,
  publicKey: NodePublicKey,
  tag: string,
  body: Uint8Array,
  signature: Uint8Array,
): boolean => verify(publicKey, signedBytes(tag, body), signature)
