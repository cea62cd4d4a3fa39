import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../errors.ts'
import { attempt } from '../primitives/codec.ts'
import { nobleCurve } from '../primitives/noble-curve.ts'
import { secretScalar } from '../primitives/scalar.ts'
import type { KeyId } from '../primitives/types.ts'
import { decodeEnvelope, encodeEnvelope, type Envelope, formatEnvelope, parseEnvelope } from './envelope.ts'
import { sealEnvelopeV1 } from './envelope-v1.ts'
import { sealEnvelopeV2 } from './envelope-v2.ts'
import { anyOf, encodePolicy } from './policy-expression.ts'

const curve = nobleCurve
const bytes32 = (name: string): Uint8Array => sha256(utf8ToBytes(name))
const groupKey = curve.mulBaseSecret(secretScalar(77n))
const common = { plaintext: utf8ToBytes('a secret'), handle: bytes32('handle'), k: secretScalar(5n) }
const v1 = sealEnvelopeV1(curve, { ...common, groupKey, nonce: new Uint8Array(12).fill(1) })
const v2 = sealEnvelopeV2(curve, {
  ...common,
  key: { keyId: bytes32('key') as KeyId, groupKey },
  chainId: 421614,
  policy: encodePolicy(anyOf([{ kind: 'ed25519', key: bytes32('alice') }])),
  aux: bytes32('aux'),
})
const both: [string, Envelope][] = [
  ['v1', v1],
  ['v2', v2],
]
describe.each(both)('the binary form of %s', (_, envelope) => {
  const bytes = encodeEnvelope(envelope)

  it('reads back', () => {
    expect(decodeEnvelope(curve, bytes)).toEqual(envelope)
    expect(bytes.slice(0, 5)).toEqual(concatBytes(utf8ToBytes('TKMS'), Uint8Array.of(envelope.version)))
    expect(bytes.slice(-envelope.ciphertext.length)).toEqual(envelope.ciphertext)
  })

  it('refuses every prefix that cuts into the tag or before', () => {
    for (let length = 0; length < bytes.length - envelope.ciphertext.length + 16; length += 1)
      expect(() => decodeEnvelope(curve, bytes.slice(0, length))).toThrow(KmsError)
  })

  it('is total, with one encoding per envelope', () => {
    const edit = fc.record({ at: fc.nat(bytes.length - 1), value: fc.nat(255) })
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
        const mutated = Uint8Array.from(bytes)
        for (const { at, value } of edits) mutated[at] = value
        expect(reencoded(mutated)).toEqual(mutated)
      }),
      { numRuns: 200 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(bytes.length), (noise, keep) => {
        const mutated = concatBytes(bytes.slice(0, keep), noise)
        expect(reencoded(mutated)).toEqual(mutated)
      }),
    )
  })
})

describe('binary envelopes', () => {
  const bytes = encodeEnvelope(v2)
  const patch = (at: number, ...values: number[]): Uint8Array => {
    const out = Uint8Array.from(bytes)
    out.set(values, at)
    return out
  }
  const POLICY_AT = 5 + 4 + 206 + 64

  it.each([
    ['another magic', patch(0, 0x58), 'bad-envelope'],
    ['version 3', patch(4, 3), 'unsupported'],
    ['version 0', patch(4, 0), 'unsupported'],
    ['a header length of 2^31', patch(5, 0x80), 'bad-encoding'],
    ['a policy length of 2^31', patch(POLICY_AT, 0x80), 'bad-encoding'],
    ['a policy length of 2^32 - 1', patch(POLICY_AT, 0xff, 0xff, 0xff, 0xff), 'bad-encoding'],
    ['another policy', patch(POLICY_AT + 4 + 20, 0), 'bad-envelope'],
    ['a policy that is no expression', patch(POLICY_AT + 4, 77), 'bad-encoding'],
    ['an identity as K', patch(5 + 4 + 32 + 76, 0), 'bad-point'],
    ['nothing', new Uint8Array(0), 'bad-encoding'],
  ])('are refused with %s', (_, changed, code) => {
    expect(() => decodeEnvelope(curve, changed)).toThrow(expect.objectContaining({ code }))
  })

  it('of more than 64 MiB are refused', () => {
    const huge = concatBytes(encodeEnvelope(v1).slice(0, 5 + 32 + 33 + 12), new Uint8Array(64 * 1024 * 1024 + 17))
    expect(() => decodeEnvelope(curve, huge)).toThrow(expect.objectContaining({ code: 'bad-encoding' }))
  })
})

describe('the JSON form', () => {
  it.each(both)('of %s reads back', (_, envelope) => {
    expect(parseEnvelope(curve, JSON.parse(JSON.stringify(formatEnvelope(envelope))))).toEqual(envelope)
  })

  it('of v1 is what Nox stores, in both of its spellings and cases', () => {
    const json = formatEnvelope(v1)
    expect(Object.keys(json)).toEqual(['handle', 'ciphertext', 'public_key', 'nonce'])
    const { public_key: publicKey, ...rest } = json
    expect(parseEnvelope(curve, { ...rest, publicKey, handleValueTag: '0x00' })).toEqual(v1)
    const upper = json.ciphertext.toUpperCase().replace('0X', '0x')
    expect(parseEnvelope(curve, { ...json, ciphertext: upper })).toEqual(v1)
  })

  const json = formatEnvelope(v2)
  it.each<[string, unknown]>([
    ['null', null],
    ['a list', [json]],
    ['an unknown field', { ...json, extra: 1 }],
    ['version 3', { ...json, version: 3 }],
    ['version "2"', { ...json, version: '2' }],
    ['a chain id of 2^53', { ...json, chainId: 2 ** 53 }],
    ['a fractional chain id', { ...json, chainId: 1.5 }],
    ['K of 32 bytes', { ...json, K: json.K.slice(0, -2) }],
    ['K off the curve', { ...json, K: `0x02${'00'.repeat(31)}05` }],
    ['K uncompressed', { ...json, K: `0x04${'11'.repeat(64)}` }],
    ['the identity as Kbar', { ...json, Kbar: `0x${'00'.repeat(33)}` }],
    ['upper-case hex', { ...json, keyId: json.keyId.toUpperCase().replace('0X', '0x') }],
    ['a policy that is no expression', { ...json, policy: '0x07' }],
    ['a ciphertext of 15 bytes', { ...json, ciphertext: `0x${'00'.repeat(15)}` }],
    ['a missing proof', { ...json, proof: undefined }],
    ['both spellings of K in v1', { ...formatEnvelope(v1), publicKey: formatEnvelope(v1).public_key }],
    ['a v1 nonce of 16 bytes', { ...formatEnvelope(v1), nonce: `0x${'00'.repeat(16)}` }],
  ])('refuses %s', (_, value) => {
    expect(() => parseEnvelope(curve, value)).toThrow(expect.objectContaining({ code: 'bad-envelope' }))
  })

  it('is total', () => {
    fc.assert(
      fc.property(fc.anything(), fc.constantFrom(...Object.keys(json)), (value, field) => {
        expect(() => parseEnvelope(curve, value)).toThrow(KmsError)
        const changed = { ...json, [field]: value }
        const parsed = attempt(() => parseEnvelope(curve, changed))
        expect(parsed === undefined ? changed : formatEnvelope(parsed)).toEqual(changed)
      }),
    )
  })
})

/** The one encoding of what the bytes decode to; the bytes themselves where a KmsError refuses them. */
function reencoded(input: Uint8Array): Uint8Array {
  const decoded = attempt(() => decodeEnvelope(curve, input))
  return decoded === undefined ? input : encodeEnvelope(decoded)
}
