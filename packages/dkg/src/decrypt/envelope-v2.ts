import { gcm } from '@noble/ciphers/aes.js'
import { expand, extract } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { equalBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { taggedHash } from '../primitives/hash.ts'
import { decodePoint, id32 } from '../primitives/point.ts'
import type { Secret } from '../primitives/secret.ts'
import type { KeyId, PointBytes } from '../primitives/types.ts'
import { proveDleq } from '../proofs/dleq.ts'
import { decryptGcm, requireCiphertextLength, requirePlaintextLength } from './aead.ts'
import {
  ciphertextHash,
  encodeHeader,
  type EnvelopeHeader,
  headerMessage,
  verifyHeaderProof,
} from './envelope-header.ts'
import { decodePolicy, policyHash } from './policy-expression.ts'

/** A ciphertext bound to its key and label, which commits to its key (protocol 10.2). */
export interface EnvelopeV2 {
  readonly version: 2
  readonly header: EnvelopeHeader
  /** pi, 64 bytes. */
  readonly proof: Uint8Array
  /** The bytes behind `header.label.policyHash`: an owner expression, or empty. */
  readonly policy: Uint8Array
  /** ct || tag, 16 bytes to 64 MiB + 16. */
  readonly ciphertext: Uint8Array
}

export interface SealV2Input {
  readonly key: { readonly keyId: KeyId; readonly groupKey: PointBytes }
  /** At most 64 MiB. */
  readonly plaintext: Uint8Array
  /** 0 = no chain. */
  readonly chainId: number
  /** 32 bytes. */
  readonly handle: Uint8Array
  /** An encoded owner expression, or empty (`encodePolicy`). */
  readonly policy: Uint8Array
  /** k, a fresh secret scalar for this envelope alone: the AEAD nonce is derived from it. The caller destroys it afterwards. */
  readonly k: Secret
  /** 32 fresh random bytes for the proof. */
  readonly aux: Uint8Array
}

/**
 * Seals a plaintext to a key, in the order of protocol 10.2: D = k*Y; prk; kc; hdr; ct; pi.
 * @throws KmsError `too-large`, `bad-encoding` for a policy that is no expression or a handle that has not 32 bytes, `bad-scalar`
 */
export function sealEnvelopeV2(curve: Curve, input: SealV2Input): EnvelopeV2 {
  const { key, plaintext, policy, k } = input
  requirePlaintextLength(plaintext)
  decodePolicy(policy)
  const label = { chainId: input.chainId, handle: id32(input.handle, 'handle'), policyHash: policyHash(policy) }
  const base = curve.secondGenerator
  const K = curve.mulBaseSecret(k)
  const D = curve.mulSecret(key.groupKey, k)
  const keys = deriveKeys({ keyId: key.keyId, K, D })
  D.fill(0)
  const header = { keyId: key.keyId, label, K, Kbar: curve.mulSecret(base, k), keyCommitment: keys.commitment }
  const ciphertext = gcm(keys.key, keys.nonce, encodeHeader(header)).encrypt(plaintext)
  keys.key.fill(0)
  const message = headerMessage(curve, header, ciphertextHash(ciphertext))
  const { proof } = proveDleq(curve, { secret: k, B: base, base: curve.generator, message, aux: input.aux })
  return { version: 2, header, proof, policy, ciphertext }
}

/** Whether the envelope is whole: its policy is the labelled one, its proof covers this ciphertext. A client checks before it asks. */
export function verifyEnvelopeV2(curve: Curve, { header, proof, policy, ciphertext }: EnvelopeV2): boolean {
  return (
    equalBytes(policyHash(policy), header.label.policyHash) &&
    verifyHeaderProof(curve, { header, proof, ctHash: ciphertextHash(ciphertext) })
  )
}

/**
 * Opens an envelope with the combined point D = s*K. The key commitment is checked before the AEAD, so no two keys open one envelope.
 * @throws KmsError `bad-envelope`; `data.check` is `key-commitment` (D is not this envelope's, or the envelope is malformed) or `tag` (the envelope is malformed)
 */
export function openEnvelopeV2(curve: Curve, envelope: EnvelopeV2, D: PointBytes): Uint8Array {
  const { header, ciphertext } = envelope
  requireCiphertextLength(ciphertext)
  const keys = deriveKeys({ keyId: header.keyId, K: header.K, D: decodePoint(curve, D, 'D') })
  try {
    // The expected value is public, and the computed one is worth nothing to who can time a wrong D.
    if (!equalBytes(keys.commitment, header.keyCommitment))
      throw dkgError('bad-envelope', 'the combined point does not match the key commitment', {
        data: { check: 'key-commitment' },
      })
    return decryptGcm({ key: keys.key, nonce: keys.nonce, aad: encodeHeader(header), ciphertext })
  } finally {
    keys.key.fill(0)
  }
}

const AEAD_INFO = utf8ToBytes('TKMS/1 aead')
const NONCE_INFO = utf8ToBytes('TKMS/1 nonce')
const COMMIT_INFO = utf8ToBytes('TKMS/1 commit')

interface EnvelopeKeys {
  readonly key: Uint8Array
  readonly nonce: Uint8Array
  readonly commitment: Uint8Array
}

function deriveKeys({
  keyId,
  K,
  D,
}: {
  readonly keyId: KeyId
  readonly K: PointBytes
  readonly D: PointBytes
}): EnvelopeKeys {
  const prk = extract(sha256, D, taggedHash('ecies', concatBytes(keyId, K)))
  const keys = {
    key: expand(sha256, prk, AEAD_INFO, 32),
    nonce: expand(sha256, prk, NONCE_INFO, 12),
    commitment: expand(sha256, prk, COMMIT_INFO, 32),
  }
  prk.fill(0)
  return keys
}
