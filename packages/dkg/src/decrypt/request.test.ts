import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../errors.ts'
import { attempt } from '../primitives/codec.ts'
import { nobleCurve } from '../primitives/noble-curve.ts'
import { secretScalar } from '../primitives/scalar.ts'
import type { ClusterId, KeyId, SharingId } from '../primitives/types.ts'
import { sealEnvelopeV2 } from './envelope-v2.ts'
import { allOf, encodePolicy } from './policy-expression.ts'
import {
  clockSkewSeconds,
  decodeRequest,
  type DelegationRequest,
  encodeRequest,
  EVIDENCE_GRANT,
  MAX_EVIDENCE_BYTES,
  MAX_ITEMS,
  MAX_REQUEST_BYTES,
  MAX_SPKI_BYTES,
  requestHash,
} from './request.ts'
import { itemPoint, MAX_GRANT_BYTES, type RequestItem, requestItemV2, type RequestItemV1 } from './request-item.ts'

const curve = nobleCurve
const bytes32 = (name: string): Uint8Array => sha256(utf8ToBytes(name))
const keyId = bytes32('key') as KeyId
const alice = { kind: 'ed25519', key: bytes32('alice') } as const
const bob = { kind: 'ethereum', address: bytes32('bob').slice(12) } as const

const envelope = sealEnvelopeV2(curve, {
  key: { keyId, groupKey: curve.mulBaseSecret(secretScalar(77n)) },
  plaintext: utf8ToBytes('a secret'),
  chainId: 421614,
  handle: bytes32('handle'),
  policy: encodePolicy(allOf([alice, bob])),
  k: secretScalar(5n),
  aux: bytes32('aux'),
})
const v2 = requestItemV2(envelope)
const v1: RequestItemV1 = {
  version: 1,
  K: curve.mulBaseSecret(secretScalar(6n)),
  chainId: 1,
  handle: bytes32('other handle'),
  grant: Uint8Array.of(1, 2, 3),
}
const request: DelegationRequest = {
  clusterId: bytes32('cluster') as ClusterId,
  keyId,
  sharingId: bytes32('sharing') as SharingId,
  requestId: bytes32('request'),
  notBefore: 1_700_000_000,
  expiresAt: 1_700_000_300,
  spki: new Uint8Array(294).fill(0x30),
  publicKeyId: `ed25519:${'ab'.repeat(32)}`,
  evidence: [{ kind: EVIDENCE_GRANT, bytes: Uint8Array.of(9, 9) }],
  items: [v2, v1],
}
const bytes = encodeRequest(request)
const codeOf = (code: string): unknown => expect.objectContaining({ code })

/** Where the fields of `bytes` begin. */
const SPKI_AT = 1 + 4 * 32 + 16
const ID_AT = SPKI_AT + 4 + 294
const EVIDENCE_AT = ID_AT + 4 + 72
const ITEMS_AT = EVIDENCE_AT + 2 + 4 + 3
const HEADER_AT = ITEMS_AT + 2 + 1
const patch = (at: number, ...values: number[]): Uint8Array => {
  const out = Uint8Array.from(bytes)
  out.set(values, at)
  return out
}

describe('a canonical request', () => {
  it('reads back', () => {
    expect(decodeRequest(curve, bytes)).toEqual(request)
    const { sharingId: _, ...active } = request
    expect(decodeRequest(curve, encodeRequest(active))).toEqual(active)
  })

  it('has these bytes in front', () => {
    expect(bytes.slice(0, SPKI_AT)).toEqual(
      concatBytes(
        Uint8Array.of(1),
        request.clusterId,
        request.keyId,
        bytes32('sharing'),
        request.requestId,
        Uint8Array.of(0, 0, 0, 0, 0x65, 0x53, 0xf1, 0x00, 0, 0, 0, 0, 0x65, 0x53, 0xf2, 0x2c),
      ),
    )
    expect(bytes[HEADER_AT - 1]).toBe(2)
  })

  it('names the point of every item', () => {
    expect(request.items.map(itemPoint)).toEqual([envelope.header.K, v1.K])
  })

  it('hashes to something else when any byte changes', () => {
    const hashes = new Set(Array.from(bytes, (byte, at) => requestHash(patch(at, byte ^ 1)).join()))
    expect(hashes.size).toBe(bytes.length)
  })

  it.each<[string, Uint8Array, string]>([
    ['an unknown version', patch(0, 2), 'bad-request'],
    ['a window that ends as it begins', patch(SPKI_AT - 8, ...bytes.slice(SPKI_AT - 16, SPKI_AT - 8)), 'bad-request'],
    ['a window of more than an hour', patch(SPKI_AT - 2, 0xff, 0xff), 'bad-request'],
    ['a time above 2^53', patch(SPKI_AT - 16, 0xff), 'bad-encoding'],
    ['an SPKI length of 2^31', patch(SPKI_AT, 0x80, 0, 0, 0), 'bad-encoding'],
    ['an SPKI length of 2^32 - 1', patch(SPKI_AT, 0xff, 0xff, 0xff, 0xff), 'bad-encoding'],
    ['a publicKeyId length of 2^31', patch(ID_AT, 0x80), 'bad-encoding'],
    ['an unknown publicKeyId', patch(ID_AT + 4, 0x45), 'bad-request'],
    ['65535 pieces of evidence', patch(EVIDENCE_AT, 0xff, 0xff), 'bad-encoding'],
    ['an evidence length of 2^31', patch(EVIDENCE_AT + 2, 0x80), 'bad-encoding'],
    ['no items', patch(ITEMS_AT, 0, 0), 'bad-encoding'],
    ['257 items', patch(ITEMS_AT, 1, 1), 'bad-encoding'],
    ['more items than there are', patch(ITEMS_AT, 0, 3), 'bad-encoding'],
    ['an unknown item version', patch(HEADER_AT - 1, 3), 'bad-request'],
    ['a header length of 2^31', patch(HEADER_AT, 0x80), 'bad-encoding'],
    ['an item sealed to another key', patch(HEADER_AT + 4, 1), 'bad-request'],
    ['a label of another length', patch(HEADER_AT + 4 + 32 + 3, 71), 'bad-encoding'],
    ['an identity as K', patch(HEADER_AT + 4 + 32 + 4 + 72, 0), 'bad-point'],
    ['a hybrid K', patch(HEADER_AT + 4 + 32 + 4 + 72, 6), 'bad-point'],
    ['K with x >= p', patch(HEADER_AT + 4 + 32 + 4 + 73, ...new Uint8Array(32).fill(0xff)), 'bad-point'],
    ['an identity as Kbar', patch(HEADER_AT + 4 + 32 + 4 + 72 + 33, 0), 'bad-point'],
    ['another policy hash in the label', patch(HEADER_AT + 4 + 32 + 4 + 41, 1), 'bad-request'],
    ['trailing bytes', concatBytes(bytes, Uint8Array.of(0)), 'bad-encoding'],
    ['nothing', new Uint8Array(0), 'bad-encoding'],
    ['more than 1 MiB', new Uint8Array(MAX_REQUEST_BYTES + 1), 'too-large'],
  ])('refuses %s', (_, changed, code) => {
    expect(() => decodeRequest(curve, changed)).toThrow(codeOf(code))
  })

  it('refuses every prefix of itself', () => {
    for (let length = 0; length < bytes.length; length += 3)
      expect(() => decodeRequest(curve, bytes.slice(0, length))).toThrow(KmsError)
  })

  it('is total, and has one encoding per request: mutated bytes are refused or encode to themselves', () => {
    const edit = fc.record({ at: fc.nat(bytes.length - 1), value: fc.nat(255) })
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
        const mutated = Uint8Array.from(bytes)
        for (const { at, value } of edits) mutated[at] = value
        expect(reencoded(mutated)).toEqual(mutated)
      }),
      { numRuns: 200 },
    )
  })

  it('is total for random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (noise) => {
        expect(reencoded(noise)).toEqual(noise)
      }),
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (tail) => {
        const mutated = concatBytes(bytes.slice(0, HEADER_AT), tail)
        expect(reencoded(mutated)).toEqual(mutated)
      }),
    )
  })

  it.each<[string, Partial<DelegationRequest>]>([
    ['no items', { items: [] }],
    ['257 items', { items: Array.from({ length: MAX_ITEMS + 1 }, (): RequestItem => v1) }],
    ['an empty RSA key', { spki: new Uint8Array(0) }],
    ['an RSA key too long', { spki: new Uint8Array(MAX_SPKI_BYTES + 1) }],
    ['an id of 31 bytes', { requestId: new Uint8Array(31) }],
    ['an unknown publicKeyId', { publicKeyId: 'alice' }],
    ['a window of an hour and a second', { expiresAt: request.notBefore + 3601 }],
    ['an empty window', { expiresAt: request.notBefore }],
    ['evidence too long', { evidence: [{ kind: 2, bytes: new Uint8Array(MAX_EVIDENCE_BYTES + 1) }] }],
    ['17 pieces of evidence', { evidence: Array.from({ length: 17 }, () => ({ kind: 2, bytes: new Uint8Array(1) })) }],
    ['a grant too long', { items: [{ ...v1, grant: new Uint8Array(MAX_GRANT_BYTES + 1) }] }],
    ['a policy that is not the label’s', { items: [{ ...v2, policy: new Uint8Array(0) }] }],
    ['an item of another key', { keyId: bytes32('another key') as KeyId }],
  ])('is not written with %s', (_, change) => {
    expect(() => encodeRequest({ ...request, ...change })).toThrow(KmsError)
  })

  it('holds 256 items', () => {
    const full = { ...request, items: Array.from({ length: MAX_ITEMS }, (): RequestItem => v1) }
    expect(decodeRequest(curve, encodeRequest(full)).items.length).toBe(MAX_ITEMS)
  })
})

describe('the clock', () => {
  const window = { notBefore: 1000, expiresAt: 1300 }
  it.each([
    [939, -61],
    [940, 0],
    [1000, 0],
    [1300, 0],
    [1360, 0],
    [1361, 61],
  ])('at %d is off by %d seconds, with a leeway of 60', (nowSeconds, skew) => {
    expect(clockSkewSeconds(window, { nowSeconds, leewaySeconds: 60 })).toBe(skew)
  })
})

/** The one encoding of what the bytes decode to; the bytes themselves where a KmsError refuses them. Anything else that is thrown fails the test. */
function reencoded(input: Uint8Array): Uint8Array {
  const decoded = attempt(() => decodeRequest(curve, input))
  return decoded === undefined ? input : encodeRequest(decoded)
}
