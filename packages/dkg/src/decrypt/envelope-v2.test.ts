import { createDecipheriv, hkdfSync } from 'node:crypto'
import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { u64 } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { nobleCurve } from '../primitives/noble-curve.ts'
import { secretScalar } from '../primitives/scalar.ts'
import { Secret } from '../primitives/secret.ts'
import type { KeyId, PointBytes } from '../primitives/types.ts'
import { verifyDleq } from '../proofs/dleq.ts'
import { MAX_PLAINTEXT_BYTES } from './aead.ts'
import { ciphertextHash } from './envelope-header.ts'
import { type EnvelopeV2, openEnvelopeV2, sealEnvelopeV2, type SealV2Input, verifyEnvelopeV2 } from './envelope-v2.ts'
import { encodePolicy } from './policy-expression.ts'

const curve = nobleCurve
const bytes32 = (name: string): Uint8Array => sha256(utf8ToBytes(name))
const secretKey = bytes32('master')
const groupKey = curve.mulBaseSecret(Secret.copyOf(secretKey))
const keyId = bytes32('key') as KeyId
const policy = encodePolicy({ kind: 'ed25519', key: bytes32('alice') })
const plaintext = utf8ToBytes('attack at dawn')
const input = (): SealV2Input => ({
  key: { keyId, groupKey },
  plaintext,
  chainId: 421614,
  handle: bytes32('handle'),
  policy,
  k: new Secret(bytes32('ephemeral')),
  aux: bytes32('aux'),
})
const envelope = sealEnvelopeV2(curve, input())
const combined = (of: EnvelopeV2): PointBytes => curve.mulSecret(of.header.K, Secret.copyOf(secretKey))
const open = (of: EnvelopeV2): Uint8Array => openEnvelopeV2(curve, of, combined(of))
const failsAt = (check: string): unknown => expect.objectContaining({ code: 'bad-envelope', data: { check } })
const flip = (bytes: Uint8Array, at: number): Uint8Array =>
  bytes.map((byte, position) => (position === at ? byte ^ 1 : byte))

/** TH of protocol 3, written out once more. */
const tagged = (tag: string, ...parts: Uint8Array[]): Uint8Array => {
  const hashed = sha256(utf8ToBytes(`TKMS/1/${tag}`))
  return sha256(concatBytes(hashed, hashed, ...parts))
}

describe('a v2 envelope', () => {
  it('opens with the combined point', () => {
    expect(open(envelope)).toEqual(plaintext)
    expect(verifyEnvelopeV2(curve, envelope)).toBe(true)
  })

  it('opens for any plaintext, chain and ephemeral key', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.maxSafeNat(),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        (content, chainId, random) => {
          const sealed = sealEnvelopeV2(curve, {
            ...input(),
            plaintext: content,
            chainId,
            k: new Secret(sha256(random)),
          })
          expect(open(sealed)).toEqual(content)
          expect(verifyEnvelopeV2(curve, sealed)).toBe(true)
        },
      ),
      { numRuns: 8 },
    )
  })

  it('is what protocol 10.2 says, recomputed with OpenSSL', () => {
    const { header, ciphertext, proof } = envelope
    const D = curve.mulSecret(groupKey, new Secret(bytes32('ephemeral')))
    const salt = tagged('ecies', keyId, header.K)
    const derive = (info: string, length: number): Uint8Array =>
      new Uint8Array(hkdfSync('sha256', D, salt, info, length))
    expect(header.keyCommitment).toEqual(derive('TKMS/1 commit', 32))
    const label = concatBytes(u64(421614), bytes32('handle'), tagged('policy', policy))
    const varLabel = concatBytes(Uint8Array.of(0, 0, 0, 72), label)
    const hdr = concatBytes(keyId, varLabel, header.K, header.Kbar, header.keyCommitment)
    const decipher = createDecipheriv('aes-256-gcm', derive('TKMS/1 aead', 32), derive('TKMS/1 nonce', 12))
    decipher.setAAD(hdr)
    decipher.setAuthTag(ciphertext.slice(-16))
    const opened = Uint8Array.from(decipher.update(ciphertext.slice(0, -16)))
    decipher.final()
    expect(opened).toEqual(plaintext)
    const message = tagged('hdr', keyId, varLabel, header.keyCommitment, tagged('ct', ciphertext))
    const statement = { A: header.K, B: curve.secondGenerator, C: header.Kbar, base: curve.generator, message }
    expect(verifyDleq(curve, statement, proof)).toBe(true)
    expect(ciphertextHash(ciphertext)).toEqual(tagged('ct', ciphertext))
  })

  it('leaves the ephemeral key to its caller', () => {
    const k = secretScalar(5n)
    const sealed = sealEnvelopeV2(curve, { ...input(), k })
    expect(sealed.header.K).toEqual(curve.mulBaseSecret(secretScalar(5n)))
    expect(k.destroyed).toBe(false)
    k.destroy()
    expect(() => sealEnvelopeV2(curve, { ...input(), k })).toThrow(
      expect.objectContaining({ code: 'secret-destroyed' }),
    )
  })

  it('wipes the shared point after sealing', () => {
    const produced: PointBytes[] = []
    const watching: Curve = {
      ...curve,
      mulSecret: (point, k) => {
        const result = curve.mulSecret(point, k)
        produced.push(result)
        return result
      },
    }
    sealEnvelopeV2(watching, input())
    const [D] = produced
    expect(D).toEqual(new Uint8Array(33))
  })

  it('checks the key commitment before the AEAD', () => {
    expect(() => openEnvelopeV2(curve, envelope, curve.generator)).toThrow(failsAt('key-commitment'))
    const both = { ...envelope, ciphertext: flip(envelope.ciphertext, 0) }
    expect(() => openEnvelopeV2(curve, both, curve.generator)).toThrow(failsAt('key-commitment'))
    const header = { ...envelope.header, keyCommitment: flip(envelope.header.keyCommitment, 31) }
    expect(() => open({ ...envelope, header })).toThrow(failsAt('key-commitment'))
  })

  it('does not open with a changed ciphertext or a changed label', () => {
    const { header } = envelope
    for (const at of [0, envelope.ciphertext.length - 1])
      expect(() => open({ ...envelope, ciphertext: flip(envelope.ciphertext, at) })).toThrow(failsAt('tag'))
    expect(() => open({ ...envelope, header: { ...header, label: { ...header.label, chainId: 1 } } })).toThrow(
      failsAt('tag'),
    )
    const label = { ...header.label, handle: bytes32('other') }
    expect(() => open({ ...envelope, header: { ...header, label } })).toThrow(failsAt('tag'))
    expect(() => open({ ...envelope, header: { ...header, Kbar: curve.generator } })).toThrow(failsAt('tag'))
    expect(() => open({ ...envelope, header: { ...header, keyId: bytes32('x') as KeyId } })).toThrow(
      failsAt('key-commitment'),
    )
    expect(() => open({ ...envelope, ciphertext: new Uint8Array(15) })).toThrow(failsAt('length'))
  })

  it('does not seal what nobody could open or check', () => {
    const refuse = (change: Partial<SealV2Input>, code: string): void =>
      expect(() => sealEnvelopeV2(curve, { ...input(), ...change })).toThrow(expect.objectContaining({ code }))
    refuse({ plaintext: new Uint8Array(MAX_PLAINTEXT_BYTES + 1) }, 'too-large')
    refuse({ handle: new Uint8Array(31) }, 'bad-encoding')
    refuse({ policy: Uint8Array.of(9) }, 'bad-encoding')
    refuse({ chainId: -1 }, 'bad-encoding')
    refuse({ k: new Secret(new Uint8Array(32)) }, 'bad-scalar')
    refuse({ aux: new Uint8Array(31) }, 'bad-parameters')
  })
})
