import { ed25519 } from '@noble/curves/ed25519.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { attempt } from '../primitives/codec.ts'
import { verifyEd25519 } from '../primitives/ed25519.ts'
import { nobleCurve } from '../primitives/noble-curve.ts'
import { secretScalar } from '../primitives/scalar.ts'
import type { ClusterId, KeyId } from '../primitives/types.ts'
import type { RequestItem } from './request-item.ts'
import {
  decodeSession,
  encodeSession,
  encodeSessionBody,
  type SessionBody,
  sessionHash,
  sessionMismatch,
  sessionStatement,
} from './session.ts'
import { verifyStatement } from './statement.ts'

const bytes32 = (name: string): Uint8Array => sha256(utf8ToBytes(name))
const seed = bytes32('principal')
const principal = `ed25519:${bytesToHex(ed25519.getPublicKey(seed))}`
const fields: SessionBody = {
  clusterId: bytes32('cluster') as ClusterId,
  keyId: bytes32('key') as KeyId,
  recipientSpkiHash: bytes32('spki'),
  sessionKey: ed25519.getPublicKey(bytes32('session key')),
  principal,
  notBefore: 1000,
  expiresAt: 4600,
  sessionId: bytes32('session'),
  handles: [
    { chainId: 0, handle: bytes32('h0') },
    { chainId: 421_614, handle: bytes32('h1') },
  ],
}
const body = encodeSessionBody(fields)
const signature = ed25519.sign(sessionStatement(fields, body).message, seed)
const bytes = encodeSession({ body, signature })
const refused: unknown = expect.objectContaining({ code: expect.stringMatching(/^bad-(?:request|encoding)$/) })
const codeOf = (code: string): unknown => expect.objectContaining({ code })

describe('a session', () => {
  it('reads back and verifies', () => {
    const session = decodeSession(bytes)
    expect(session).toEqual({ ...fields, body, signature })
    const statement = sessionStatement(session, session.body)
    expect(verifyStatement(verifyEd25519, principal, statement, signature)).toBe(true)
    const other = sessionStatement({ ...session, handles: [] }, encodeSessionBody({ ...fields, handles: [] }))
    expect(verifyStatement(verifyEd25519, principal, other, signature)).toBe(false)
  })

  it('no byte of it can be changed', () => {
    for (let at = 0; at < bytes.length; at++) {
      const changed = Uint8Array.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ 1
      const session = attempt(() => decodeSession(changed))
      if (session === undefined) continue
      const statement = sessionStatement(session, session.body)
      expect(verifyStatement(verifyEd25519, session.principal, statement, session.signature)).toBe(false)
    }
  })

  it.each([
    ['truncated', bytes.slice(0, -1)],
    ['with trailing bytes', concatBytes(bytes, Uint8Array.of(0))],
    ['of nothing', new Uint8Array(0)],
    ['with trailing bytes in its body', encodeSession({ body: concatBytes(body, Uint8Array.of(0)), signature })],
  ])('one %s is refused', (_what, wrong) => {
    expect(() => decodeSession(wrong)).toThrow(codeOf('bad-encoding'))
  })

  it.each<[string, Partial<SessionBody>]>([
    ['lasts longer than an hour', { expiresAt: 4601 }],
    ['ends when it begins', { expiresAt: 1000 }],
    ['ends before it begins', { expiresAt: 999 }],
    ['is signed by a session', { principal: `session:${'ab'.repeat(32)}` }],
    ['is signed by nobody', { principal: 'none' }],
    ['names a wallet in mixed case', { principal: `eip712:0x${'aB'.repeat(20)}` }],
    ['names a key in upper case', { principal: principal.toUpperCase() }],
    ['names more than 256 handles', { handles: Array.from({ length: 257 }, () => ({ chainId: 0, handle: seed })) }],
  ])('one that %s is neither made nor read', (_what, changes) => {
    expect(() => encodeSessionBody({ ...fields, ...changes })).toThrow(codeOf('bad-request'))
    // The same fields in bytes, made by hand: var principal begins after 129 bytes.
    const { principal: name, notBefore, expiresAt, handles } = { ...fields, ...changes }
    const view = new DataView(new ArrayBuffer(16))
    view.setBigUint64(0, BigInt(notBefore))
    view.setBigUint64(8, BigInt(expiresAt))
    const count = Uint8Array.of(handles.length >> 8, handles.length & 255)
    const entries = handles.map(({ handle }) => concatBytes(new Uint8Array(8), handle))
    const crafted = concatBytes(
      body.slice(0, 129),
      Uint8Array.of(0, 0, 0, name.length),
      utf8ToBytes(name),
      new Uint8Array(view.buffer),
      fields.sessionId,
      count,
      ...entries,
    )
    expect(() => decodeSession(encodeSession({ body: crafted, signature }))).toThrow(refused)
  })

  it('has a hash of its own tag', () => {
    expect(bytesToHex(sessionHash(body))).not.toBe(bytesToHex(sha256(body)))
    expect(bytesToHex(sessionHash(body))).toHaveLength(64)
  })
})

describe('what a session covers', () => {
  const item = (chainId: number, handle: Uint8Array): RequestItem => ({
    version: 1,
    K: nobleCurve.mulBaseSecret(secretScalar(5n)),
    chainId,
    handle,
    grant: new Uint8Array(0),
  })
  const request = {
    clusterId: fields.clusterId,
    keyId: fields.keyId,
    recipientSpkiHash: fields.recipientSpkiHash,
    items: [item(421_614, bytes32('h1')), item(0, bytes32('h0'))],
  }

  it('its handles of its key for its RSA key; all handles when it names none', () => {
    expect(sessionMismatch(fields, request)).toBeUndefined()
    const others = { ...request, items: [item(7, bytes32('else'))] }
    expect(sessionMismatch({ ...fields, handles: [] }, others)).toBeUndefined()
  })

  it.each([
    ['cluster', { clusterId: bytes32('x') as ClusterId }],
    ['key', { keyId: bytes32('x') as KeyId }],
    ['recipient', { recipientSpkiHash: bytes32('x') }],
    ['handle', { items: [...request.items, item(0, bytes32('x'))] }],
    ['handle', { items: [item(1, bytes32('h0'))] }],
  ])('no other %s', (what, changes) => {
    expect(sessionMismatch(fields, { ...request, ...changes })).toBe(what)
  })
})
