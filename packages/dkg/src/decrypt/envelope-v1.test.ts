import { createCipheriv, createDecipheriv, createECDH, hkdfSync } from 'node:crypto'
import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nobleCurve } from '../primitives/noble-curve.ts'
import { secretScalar } from '../primitives/scalar.ts'
import { Secret } from '../primitives/secret.ts'
import type { PointBytes } from '../primitives/types.ts'
import { openEnvelopeV1, sealEnvelopeV1, sharedX } from './envelope-v1.ts'
import { MAX_PLAINTEXT_BYTES } from './aead.ts'

const curve = nobleCurve
const bytes32 = (name: string): Uint8Array => sha256(utf8ToBytes(name))
const secretKey = bytes32('master')
const groupKey = curve.mulBaseSecret(Secret.copyOf(secretKey))
const k = bytes32('ephemeral')
const nonce = bytes32('nonce').slice(0, 12)
const handle = bytes32('handle')
const plaintext = utf8ToBytes('a value of the chain')
const seal = (content: Uint8Array) =>
  sealEnvelopeV1(curve, { groupKey, plaintext: content, handle, k: Secret.copyOf(k), nonce })
const open = (envelope: ReturnType<typeof seal>): Uint8Array =>
  openEnvelopeV1(curve, envelope, curve.mulSecret(envelope.K, Secret.copyOf(secretKey)))
const badEnvelope: unknown = expect.objectContaining({ code: 'bad-envelope' })

/** ECIES:AES_GCM:v1 as its description says, on OpenSSL alone. */
function openSslKey(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const ecdh = createECDH('secp256k1')
  ecdh.setPrivateKey(privateKey)
  const x = ecdh.computeSecret(publicKey)
  return new Uint8Array(hkdfSync('sha256', x, new Uint8Array(0), 'ECIES:AES_GCM:v1', 32))
}

describe('ECIES:AES_GCM:v1', () => {
  it('opens what it sealed, of any length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (content) => {
        expect(open(seal(content))).toEqual(content)
      }),
      { numRuns: 10 },
    )
  })

  it('opens with OpenSSL', () => {
    const { K, ciphertext } = seal(plaintext)
    const decipher = createDecipheriv('aes-256-gcm', openSslKey(secretKey, K), nonce)
    decipher.setAuthTag(ciphertext.slice(-16))
    const opened = concatBytes(
      Uint8Array.from(decipher.update(ciphertext.slice(0, -16))),
      Uint8Array.from(decipher.final()),
    )
    expect(opened).toEqual(plaintext)
  })

  it('opens what OpenSSL sealed', () => {
    const cipher = createCipheriv('aes-256-gcm', openSslKey(k, groupKey), nonce)
    const body = Uint8Array.from(cipher.update(plaintext))
    cipher.final()
    const ciphertext = concatBytes(body, Uint8Array.from(cipher.getAuthTag()))
    const K = curve.mulBaseSecret(Secret.copyOf(k))
    expect(open({ version: 1, handle, K, nonce, ciphertext })).toEqual(plaintext)
    expect(seal(plaintext).ciphertext).toEqual(ciphertext)
  })

  it('keys on the x coordinate alone', () => {
    const envelope = seal(plaintext)
    const D = curve.mulSecret(envelope.K, Secret.copyOf(secretKey))
    const negative = D.map((byte, at) => (at === 0 ? byte ^ 1 : byte)) as PointBytes
    expect(openEnvelopeV1(curve, envelope, negative)).toEqual(plaintext)
    expect(sharedX(D)).toEqual(D.slice(1))
  })

  it('does not open under another point, nonce or ciphertext', () => {
    const envelope = seal(plaintext)
    const flipped = envelope.ciphertext.map((byte, at) => (at === 0 ? byte ^ 1 : byte))
    expect(() => openEnvelopeV1(curve, envelope, curve.generator)).toThrow(badEnvelope)
    expect(() => open({ ...envelope, nonce: new Uint8Array(12) })).toThrow(badEnvelope)
    expect(() => open({ ...envelope, ciphertext: flipped })).toThrow(badEnvelope)
    expect(() => open({ ...envelope, ciphertext: new Uint8Array(15) })).toThrow(badEnvelope)
    expect(() => openEnvelopeV1(curve, envelope, new Uint8Array(33) as PointBytes)).toThrow(
      expect.objectContaining({ code: 'bad-point' }),
    )
  })

  it('does not seal more than 64 MiB, with a nonce of another length, or under a key out of range', () => {
    expect(() => seal(new Uint8Array(MAX_PLAINTEXT_BYTES + 1))).toThrow(expect.objectContaining({ code: 'too-large' }))
    const input = { groupKey, plaintext, handle, k: secretScalar(5n), nonce }
    expect(() => sealEnvelopeV1(curve, { ...input, nonce: new Uint8Array(16) })).toThrow(
      expect.objectContaining({ code: 'bad-parameters' }),
    )
    expect(() => sealEnvelopeV1(curve, { ...input, k: new Secret(new Uint8Array(32)) })).toThrow(
      expect.objectContaining({ code: 'bad-scalar' }),
    )
  })
})
