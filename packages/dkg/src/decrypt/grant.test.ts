import { ed25519 } from '@noble/curves/ed25519.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { attempt, varBytes } from '../primitives/codec.ts'
import { verifyEd25519 } from '../primitives/ed25519.ts'
import { nobleCurve } from '../primitives/noble-curve.ts'
import { secretScalar } from '../primitives/scalar.ts'
import type { ClusterId, KeyId } from '../primitives/types.ts'
import {
  decodeGrant,
  encodeGrant,
  encodeGrantBody,
  type GrantBody,
  grantMismatch,
  grantSignedBytes,
  verifyGrant,
} from './grant.ts'

const curve = nobleCurve
const bytes32 = (name: string): Uint8Array => sha256(utf8ToBytes(name))
const issuerKey = bytes32('issuer')
const issuer = `ed25519:${bytesToHex(ed25519.getPublicKey(issuerKey))}`
const fields: GrantBody = {
  clusterId: bytes32('cluster') as ClusterId,
  keyId: bytes32('key') as KeyId,
  chainId: 421614,
  handle: bytes32('handle'),
  K: curve.mulBaseSecret(secretScalar(5n)),
  recipientSpkiHash: bytes32('spki'),
  requester: `ed25519:${'ab'.repeat(32)}`,
  notBefore: 1000,
  expiresAt: 2000,
  grantId: bytes32('grant'),
}
const body = encodeGrantBody(fields)
const signature = ed25519.sign(grantSignedBytes(body), issuerKey)
const bytes = encodeGrant({ body, issuer, signature })
const grant = decodeGrant(curve, bytes)
const codeOf = (code: string): unknown => expect.objectContaining({ code })

describe('a grant', () => {
  it('reads back and verifies', () => {
    expect(grant).toEqual({ ...fields, body, issuer, signature })
    expect(verifyGrant(verifyEd25519, grant)).toBe(true)
    expect(encodeGrant(grant)).toEqual(bytes)
  })

  it('does not verify with one byte of its body changed, another issuer or another signature', () => {
    for (let at = 0; at < body.length; at += 20) {
      const changed = body.map((byte, position) => (position === at ? byte ^ 1 : byte))
      expect(verifyGrant(verifyEd25519, { ...grant, body: changed })).toBe(false)
    }
    const other = `ed25519:${bytesToHex(ed25519.getPublicKey(bytes32('other')))}`
    expect(verifyGrant(verifyEd25519, { ...grant, issuer: other })).toBe(false)
    expect(verifyGrant(verifyEd25519, { ...grant, issuer: 'none' })).toBe(false)
    expect(verifyGrant(verifyEd25519, { ...grant, signature: ed25519.sign(body, issuerKey) })).toBe(false)
    expect(verifyGrant(verifyEd25519, { ...grant, signature: new Uint8Array(0) })).toBe(false)
  })

  it.each([
    [
      'an unknown version',
      encodeGrant({ body: body.map((byte, at) => (at === 0 ? 2 : byte)), issuer, signature }),
      'bad-request',
    ],
    [
      'a body with trailing bytes',
      concatBytes(varBytes(concatBytes(body, Uint8Array.of(0))), bytes.slice(4 + body.length)),
      'bad-encoding',
    ],
    ['trailing bytes', concatBytes(bytes, Uint8Array.of(0)), 'bad-encoding'],
    ['a body length of 2^31', bytes.map((byte, at) => (at === 0 ? 0x80 : byte)), 'bad-encoding'],
    [
      'a K that is no point',
      encodeGrant({ body: body.map((byte, at) => (at === 105 ? 5 : byte)), issuer, signature }),
      'bad-point',
    ],
    ['nothing', new Uint8Array(0), 'bad-encoding'],
  ])('is refused with %s', (_, changed, code) => {
    expect(() => decodeGrant(curve, changed)).toThrow(codeOf(code))
  })

  it('is not written with a window that ends as it begins, an unknown requester or issuer', () => {
    expect(() => encodeGrantBody({ ...fields, expiresAt: 1000 })).toThrow(codeOf('bad-request'))
    expect(() => encodeGrantBody({ ...fields, requester: 'alice' })).toThrow(codeOf('bad-request'))
    expect(() => encodeGrant({ body, issuer: 'alice', signature })).toThrow(codeOf('bad-request'))
    expect(() => encodeGrant({ body, issuer, signature: new Uint8Array(513) })).toThrow(codeOf('bad-request'))
  })

  it('is total', () => {
    const edit = fc.record({ at: fc.nat(bytes.length - 1), value: fc.nat(255) })
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 3 }), fc.nat(bytes.length), (edits, keep) => {
        const mutated = Uint8Array.from(bytes)
        for (const { at, value } of edits) mutated[at] = value
        for (const input of [mutated, mutated.slice(0, keep)]) expect(reencoded(input)).toEqual(input)
      }),
    )
  })
})

describe('what a grant covers', () => {
  it('is exactly what it says', () => {
    expect(grantMismatch(grant, fields)).toBeUndefined()
  })

  it.each<[string, Partial<GrantBody>]>([
    ['clusterId', { clusterId: bytes32('x') as ClusterId }],
    ['keyId', { keyId: bytes32('x') as KeyId }],
    ['chainId', { chainId: 1 }],
    ['handle', { handle: bytes32('x') }],
    ['K', { K: curve.generator }],
    ['recipientSpkiHash', { recipientSpkiHash: bytes32('x') }],
    ['requester', { requester: 'none' }],
  ])('names %s where it differs', (field, change) => {
    expect(grantMismatch(grant, { ...fields, ...change })).toBe(field)
  })
})

/** The one encoding of what the bytes decode to; the bytes themselves where a KmsError refuses them. */
function reencoded(input: Uint8Array): Uint8Array {
  const decoded = attempt(() => decodeGrant(curve, input))
  return decoded === undefined ? input : encodeGrant({ ...decoded, body: encodeGrantBody(decoded) })
}
