import { ecb, gcm } from '@noble/ciphers/aes.js'
import { expand, extract, hkdf } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToNumberBE, numberToBytesBE } from '@noble/curves/utils.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { taggedHash } from '../primitives/hash.ts'
import { nobleCurve } from '../primitives/noble-curve.ts'
import { secretScalar } from '../primitives/scalar.ts'
import type { KeyId, PointBytes } from '../primitives/types.ts'
import { encodeHeader } from './envelope-header.ts'
import { openEnvelopeV1 } from './envelope-v1.ts'
import { openEnvelopeV2 } from './envelope-v2.ts'
import { policyHash } from './policy-expression.ts'

/**
 * AES-GCM is not key-committing: one ciphertext can be made that two keys open, to different plaintexts. An encryptor who works
 * with one lying node could make two clients read two things (protocol 10.1). Protocol row 43: refused where the header commits to its key.
 */

const curve = nobleCurve
const bytes32 = (name: string): Uint8Array => sha256(utf8ToBytes(name))
const multiple = (n: bigint): PointBytes => curve.mulBaseSecret(secretScalar(n))
const K = multiple(5n)
const honest = multiple(35n)
const lied = multiple(36n)

/** Multiplication in the field of GHASH: bit 0 is the leftmost, x^128 = x^7 + x^2 + x + 1 (SP 800-38D, 6.3). */
function multiply(left: bigint, right: bigint): bigint {
  let product = 0n
  let shifted = right
  for (let bit = 127n; bit >= 0n; bit--) {
    if ((left >> bit) & 1n) product ^= shifted
    shifted = shifted & 1n ? (shifted >> 1n) ^ (0xe1n << 120n) : shifted >> 1n
  }
  return product
}

/** value^(2^128 - 2). */
function invert(value: bigint): bigint {
  let result = 1n << 127n
  let power = value
  for (let n = 1; n < 128; n++) {
    power = multiply(power, power)
    result = multiply(result, power)
  }
  return result
}

interface AeadKey {
  readonly key: Uint8Array
  readonly nonce: Uint8Array
  readonly aad: Uint8Array | undefined
}

/** The one-block ciphertext that opens under both keys: its tag is linear in the block, with H^2 as factor. */
function openForBoth(first: AeadKey, second: AeadKey): Uint8Array {
  const analyse = ({ key, nonce, aad }: AeadKey): { readonly square: bigint; readonly tagOfZero: bigint } => {
    const h = bytesToNumberBE(ecb(key, { disablePadding: true }).encrypt(new Uint8Array(16)))
    const keystream = gcm(key, nonce, aad).encrypt(new Uint8Array(16)).slice(0, 16)
    const ofZero = gcm(key, nonce, aad).encrypt(keystream)
    return { square: multiply(h, h), tagOfZero: bytesToNumberBE(ofZero.slice(16)) }
  }
  const [a, b] = [analyse(first), analyse(second)]
  const block = multiply(a.tagOfZero ^ b.tagOfZero, invert(a.square ^ b.square))
  const tag = a.tagOfZero ^ multiply(block, a.square)
  return concatBytes(numberToBytesBE(block, 16), numberToBytesBE(tag, 16))
}

describe('a ciphertext made to open under two keys', () => {
  it('row 43: opens both ways as a v1 envelope: there the proofs must be verified first', () => {
    const nonce = bytes32('nonce').slice(0, 12)
    const keyOf = (D: PointBytes): AeadKey => ({
      key: hkdf(sha256, D.slice(1), undefined, utf8ToBytes('ECIES:AES_GCM:v1'), 32),
      nonce,
      aad: undefined,
    })
    const ciphertext = openForBoth(keyOf(honest), keyOf(lied))
    const envelope = { version: 1, handle: bytes32('handle'), K, nonce, ciphertext } as const
    const right = openEnvelopeV1(curve, envelope, honest)
    const wrong = openEnvelopeV1(curve, envelope, lied)
    expect(right).not.toEqual(wrong)
  })

  it('row 43: opens one way only as a v2 envelope', () => {
    const keyId = bytes32('key') as KeyId
    const prkOf = (D: PointBytes): Uint8Array => extract(sha256, D, taggedHash('ecies', concatBytes(keyId, K)))
    const label = { chainId: 0, handle: bytes32('handle'), policyHash: policyHash(new Uint8Array(0)) }
    const Kbar = curve.mulSecret(curve.secondGenerator, secretScalar(5n))
    const keyCommitment = expand(sha256, prkOf(honest), utf8ToBytes('TKMS/1 commit'), 32)
    const header = { keyId, label, K, Kbar, keyCommitment }
    const keyOf = (D: PointBytes): AeadKey => ({
      key: expand(sha256, prkOf(D), utf8ToBytes('TKMS/1 aead'), 32),
      nonce: expand(sha256, prkOf(D), utf8ToBytes('TKMS/1 nonce'), 12),
      aad: encodeHeader(header),
    })
    const ciphertext = openForBoth(keyOf(honest), keyOf(lied))
    const { key, nonce, aad } = keyOf(lied)
    expect(gcm(key, nonce, aad).decrypt(ciphertext)).toHaveLength(16)
    const envelope = { version: 2, header, proof: new Uint8Array(64), policy: new Uint8Array(0), ciphertext } as const
    expect(openEnvelopeV2(curve, envelope, honest)).toHaveLength(16)
    expect(() => openEnvelopeV2(curve, envelope, lied)).toThrow(
      expect.objectContaining({ code: 'bad-envelope', data: { check: 'key-commitment' } }),
    )
  })
})
