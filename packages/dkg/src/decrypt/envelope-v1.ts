import { gcm } from '@noble/ciphers/aes.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import type { Curve } from '../primitives/curve.ts'
import { decodePoint, id32 } from '../primitives/point.ts'
import type { Secret } from '../primitives/secret.ts'
import type { PointBytes } from '../primitives/types.ts'
import { decryptGcm, requireCiphertextLength, requirePlaintextLength } from './aead.ts'

export const NONCE_BYTES = 12

/** "ECIES:AES_GCM:v1" as Nox stores it (interop 1.3). Not bound to a key or label, and AES-GCM alone commits to no key: prefer v2. */
export interface EnvelopeV1 {
  readonly version: 1
  /** 32 bytes: the ciphertext's name on its chain. */
  readonly handle: Uint8Array
  /** K = k * G. */
  readonly K: PointBytes
  /** 12 bytes. */
  readonly nonce: Uint8Array
  /** ct || tag, 16 bytes to 64 MiB + 16. */
  readonly ciphertext: Uint8Array
}

export interface SealV1Input {
  readonly groupKey: PointBytes
  readonly plaintext: Uint8Array
  readonly handle: Uint8Array
  /** A fresh secret scalar; the caller destroys it afterwards. */
  readonly k: Secret
  /** 12 fresh random bytes. */
  readonly nonce: Uint8Array
}

/** @throws KmsError `too-large`, `bad-encoding`, `bad-scalar`, `bad-parameters` for a nonce that has not 12 bytes */
export function sealEnvelopeV1(curve: Curve, input: SealV1Input): EnvelopeV1 {
  requirePlaintextLength(input.plaintext)
  if (input.nonce.length !== NONCE_BYTES) throw dkgError('bad-parameters', 'the nonce has 12 bytes')
  const K = curve.mulBaseSecret(input.k)
  const D = curve.mulSecret(input.groupKey, input.k)
  const key = deriveKey(D)
  D.fill(0)
  const ciphertext = gcm(key, input.nonce).encrypt(input.plaintext)
  key.fill(0)
  return { version: 1, handle: id32(input.handle, 'handle'), K, nonce: input.nonce, ciphertext }
}

/**
 * Opens an envelope with the combined point D = s*K. Only the tag checks D: verify the proofs of all partials first (protocol 10.1).
 * @throws KmsError `bad-envelope`
 */
export function openEnvelopeV1(curve: Curve, envelope: EnvelopeV1, D: PointBytes): Uint8Array {
  requireCiphertextLength(envelope.ciphertext)
  const key = deriveKey(decodePoint(curve, D, 'D'))
  try {
    return decryptGcm({ key, nonce: envelope.nonce, aad: undefined, ciphertext: envelope.ciphertext })
  } finally {
    key.fill(0)
  }
}

const INFO = utf8ToBytes('ECIES:AES_GCM:v1')

/** HKDF-SHA256(x(D), no salt, info, 32): Nox keys on the x coordinate alone. */
function deriveKey(D: PointBytes): Uint8Array {
  const x = sharedX(D)
  const key = hkdf(sha256, x, undefined, INFO, 32)
  x.fill(0)
  return key
}

/** The x coordinate of a point, 32 bytes big-endian: Nox's raw shared secret. A copy. */
export const sharedX = (D: PointBytes): Uint8Array => D.slice(1)
