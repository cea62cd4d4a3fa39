import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { sha256 } from '@noble/hashes/sha2.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../errors.ts'
import { attempt } from '../primitives/codec.ts'
import { hashToCurve } from '../primitives/hash-to-curve.ts'
import { nobleCurve } from '../primitives/noble-curve.ts'
import { secretScalar } from '../primitives/scalar.ts'
import type { KeyId } from '../primitives/types.ts'
import {
  ciphertextHash,
  decodeHeader,
  encodeHeader,
  type EnvelopeHeader,
  HEADER_BYTES,
  type ProvenHeader,
  verifyHeaderProof,
} from './envelope-header.ts'
import { sealEnvelopeV2, verifyEnvelopeV2 } from './envelope-v2.ts'

const curve = nobleCurve
const bytes32 = (name: string): Uint8Array => sha256(utf8ToBytes(name))
const point = (n: bigint) => curve.mulBaseSecret(secretScalar(n))

const seal = (k: bigint) =>
  sealEnvelopeV2(curve, {
    key: { keyId: bytes32('key') as KeyId, groupKey: point(77n) },
    plaintext: utf8ToBytes('attack at dawn'),
    chainId: 421614,
    handle: bytes32('handle'),
    policy: new Uint8Array(0),
    k: secretScalar(k),
    aux: bytes32('aux'),
  })
const envelope = seal(5n)
const proven: ProvenHeader = {
  header: envelope.header,
  proof: envelope.proof,
  ctHash: ciphertextHash(envelope.ciphertext),
}
const flip = (bytes: Uint8Array): Uint8Array => bytes.map((byte, at) => (at === bytes.length - 1 ? byte ^ 1 : byte))

describe('the second generator', () => {
  it('is the published constant', () => {
    expect(bytesToHex(curve.secondGenerator)).toBe('028d16c7b199d85dc76b107f881b2ac31ccd6cfab8afa47662c5f47c3b05d1d34c')
  })

  it('is hashed to the curve from its name', () => {
    const point = hashToCurve(utf8ToBytes('TKMS/1 second generator'), 'TKMS-V1-GBAR-secp256k1_XMD:SHA-256_SSWU_RO_')
    expect(curve.secondGenerator).toEqual(point)
  })
})

describe('header encoding', () => {
  it('is 206 bytes and reads back', () => {
    const bytes = encodeHeader(envelope.header)
    expect(bytes.length).toBe(206)
    expect(HEADER_BYTES).toBe(206)
    expect(decodeHeader(curve, bytes)).toEqual(envelope.header)
  })

  it('refuses every other length', () => {
    const bytes = encodeHeader(envelope.header)
    for (let length = 0; length < bytes.length; length++)
      expect(() => decodeHeader(curve, bytes.slice(0, length))).toThrow(KmsError)
    expect(() => decodeHeader(curve, concatBytes(bytes, Uint8Array.of(0)))).toThrow(KmsError)
  })

  it('is total and has one encoding per header', () => {
    const bytes = encodeHeader(envelope.header)
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const mutated = bytes.map((byte, position) => (position === at ? byte ^ change : byte))
        const decoded = attempt(() => decodeHeader(curve, mutated))
        expect(decoded === undefined ? mutated : encodeHeader(decoded)).toEqual(mutated)
      }),
    )
  })
})

describe('the header proof', () => {
  it('holds for what was sealed', () => {
    expect(verifyHeaderProof(curve, proven)).toBe(true)
    expect(verifyEnvelopeV2(curve, envelope)).toBe(true)
  })

  const { header } = proven
  const other = seal(6n)
  it.each<[string, ProvenHeader]>([
    ['the key', { ...proven, header: { ...header, keyId: flip(header.keyId) as KeyId } }],
    ['the chain', { ...proven, header: { ...header, label: { ...header.label, chainId: 1 } } }],
    ['the handle', { ...proven, header: { ...header, label: { ...header.label, handle: bytes32('other') } } }],
    ['the policy', { ...proven, header: { ...header, label: { ...header.label, policyHash: bytes32('other') } } }],
    ['K', { ...proven, header: { ...header, K: point(6n) } }],
    ['the sign of K', { ...proven, header: { ...header, K: negate(header.K) } }],
    [
      'K and Kbar together, taken from another envelope',
      { ...proven, header: { ...header, K: other.header.K, Kbar: other.header.Kbar } },
    ],
    [
      'K by a known offset',
      { ...proven, header: { ...header, K: requirePoint(curve.sum([header.K, curve.generator])) } },
    ],
    ['Kbar', { ...proven, header: { ...header, Kbar: point(6n) } }],
    ['the key commitment', { ...proven, header: { ...header, keyCommitment: flip(header.keyCommitment) } }],
    ['the ciphertext', { ...proven, ctHash: flip(proven.ctHash) }],
    ['the challenge', { ...proven, proof: flip(proven.proof.slice(0, 32)) }],
    ['the response', { ...proven, proof: flip(proven.proof) }],
    ['the proof by another envelope’s', { ...proven, proof: other.proof }],
  ])('does not hold when one changes %s', (_, changed) => {
    expect(verifyHeaderProof(curve, changed)).toBe(false)
  })

  it('does not hold for an envelope with another policy or ciphertext beside it', () => {
    expect(verifyEnvelopeV2(curve, { ...envelope, policy: Uint8Array.of(1) })).toBe(false)
    expect(verifyEnvelopeV2(curve, { ...envelope, ciphertext: flip(envelope.ciphertext) })).toBe(false)
  })
})

function negate(bytes: EnvelopeHeader['K']): EnvelopeHeader['K'] {
  return bytes.map((byte, at) => (at === 0 ? byte ^ 1 : byte)) as EnvelopeHeader['K']
}

function requirePoint(value: EnvelopeHeader['K'] | undefined): EnvelopeHeader['K'] {
  if (value === undefined) throw new Error('identity')
  return value
}
