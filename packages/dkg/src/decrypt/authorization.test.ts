import { ed25519 } from '@noble/curves/ed25519.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../errors.ts'
import { verifyEd25519 } from '../primitives/ed25519.ts'
import { nobleCurve } from '../primitives/noble-curve.ts'
import { secretScalar } from '../primitives/scalar.ts'
import type { ClusterId, KeyId } from '../primitives/types.ts'
import {
  type Authorization,
  decodeAuthorization,
  formatAuthorization,
  parseAuthorization,
  verifyAuthorization,
} from './authorization.ts'
import { encodeRequest, MAX_REQUEST_BYTES, requestSignedBytes } from './request.ts'

const curve = nobleCurve
const bytes32 = (name: string): Uint8Array => sha256(utf8ToBytes(name))
const secretKey = bytes32('requester')
const publicKeyId = `ed25519:${bytesToHex(ed25519.getPublicKey(secretKey))}`
const payload = encodeRequest({
  clusterId: bytes32('cluster') as ClusterId,
  keyId: bytes32('key') as KeyId,
  requestId: bytes32('request'),
  notBefore: 1000,
  expiresAt: 1300,
  spki: Uint8Array.of(0x30),
  publicKeyId,
  evidence: [],
  items: [
    {
      version: 1,
      K: curve.mulBaseSecret(secretScalar(5n)),
      chainId: 0,
      handle: bytes32('h'),
      grant: new Uint8Array(0),
    },
  ],
})
const sign = (message: Uint8Array): Uint8Array => ed25519.sign(message, secretKey)
const authorization: Authorization = { payload, signature: sign(requestSignedBytes(payload)), publicKeyId }
const verify = (changed: Partial<Authorization>): boolean =>
  verifyAuthorization(verifyEd25519, { ...authorization, ...changed })

describe('an authorization', () => {
  it('verifies and carries its request', () => {
    expect(verify({})).toBe(true)
    expect(decodeAuthorization(curve, authorization).publicKeyId).toBe(publicKeyId)
  })

  it('does not verify when anything changes', () => {
    for (let at = 0; at < payload.length; at += 40)
      expect(verify({ payload: payload.map((byte, position) => (position === at ? byte ^ 1 : byte)) })).toBe(false)
    expect(verify({ signature: authorization.signature.map((byte, at) => (at === 40 ? byte ^ 1 : byte)) })).toBe(false)
    expect(verify({ signature: new Uint8Array(0) })).toBe(false)
    expect(verify({ publicKeyId: `ed25519:${bytesToHex(ed25519.getPublicKey(bytes32('other')))}` })).toBe(false)
  })

  it('does not verify with a signature over the bare payload or under another tag', () => {
    expect(verify({ signature: sign(payload) })).toBe(false)
  })

  it.each(['none', `eip712:0x${'11'.repeat(20)}`, `session:${'11'.repeat(32)}`, 'rubbish'])(
    'of %s never verifies here',
    (id) => {
      expect(verify({ publicKeyId: id })).toBe(false)
    },
  )

  it('of a small-order key never verifies', () => {
    const identity = `ed25519:01${'00'.repeat(31)}`
    const forged = new Uint8Array(64)
    forged[0] = 1
    expect(verify({ publicKeyId: identity, signature: forged })).toBe(false)
  })

  it('names the requester that its request names', () => {
    expect(() => decodeAuthorization(curve, { ...authorization, publicKeyId: 'none' })).toThrow(
      expect.objectContaining({ code: 'bad-request' }),
    )
  })
})

describe('its JSON form', () => {
  const json = formatAuthorization(authorization)

  it('reads back', () => {
    expect(parseAuthorization(JSON.parse(JSON.stringify(json)))).toEqual(authorization)
  })

  it.each<[string, unknown]>([
    ['null', null],
    ['a string', 'x'],
    ['a list', []],
    ['no fields', {}],
    ['an unknown field', { ...json, extra: 1 }],
    ['upper-case hex', { ...json, payload: json.payload.toUpperCase().replace('0X', '0x') }],
    ['hex without 0x', { ...json, payload: json.payload.slice(2) }],
    ['half a byte', { ...json, payload: `${json.payload}0` }],
    ['a payload as a number', { ...json, payload: 5 }],
    ['an empty payload', { ...json, payload: '0x' }],
    ['a payload above 1 MiB', { ...json, payload: `0x${'00'.repeat(MAX_REQUEST_BYTES + 1)}` }],
    ['a signature of 513 bytes', { ...json, signature: `0x${'00'.repeat(513)}` }],
    ['an unknown publicKeyId', { ...json, publicKeyId: 'alice' }],
  ])('refuses %s', (_, value) => {
    expect(() => parseAuthorization(value)).toThrow(expect.objectContaining({ code: 'bad-request' }))
  })

  it('names every problem, and repeats no foreign text', () => {
    const hostile = { payload: 1, signature: 2, publicKeyId: 3, [`\u001b[31m${'x'.repeat(500)}`]: 4 }
    const problems = problemsOf(hostile)
    expect(problems).toHaveLength(4)
    expect(problems.join()).not.toContain('xxx')
    expect(problems.join()).not.toContain('\u001b')
  })

  it('stays short however many fields are unknown', () => {
    expect(problemsOf(Object.fromEntries(Array.from({ length: 5000 }, (_, n) => [`field${n}`, n])))).toHaveLength(64)
  })

  it('is total', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(() => parseAuthorization(value)).toThrow(KmsError)
      }),
    )
  })
})

function problemsOf(value: unknown): readonly string[] {
  try {
    parseAuthorization(value)
  } catch (error) {
    if (error instanceof KmsError && Array.isArray(error.data.problems)) return error.data.problems.map(String)
    throw error
  }
  return []
}
