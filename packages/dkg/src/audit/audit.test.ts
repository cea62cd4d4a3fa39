import { ed25519 } from '@noble/curves/ed25519.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { decodeNodePublicKey, verifyEd25519 } from '../primitives/ed25519.ts'
import { nobleCurve } from '../primitives/noble-curve.ts'
import { participantIndex } from '../primitives/point.ts'
import { secretScalar } from '../primitives/scalar.ts'
import type { ClusterId, KeyId, SharingId } from '../primitives/types.ts'
import { auditGenesis, auditHash, decodeAuditHead, encodeAuditHead, signAuditHead, verifyAuditHead } from './head.ts'
import { compareAuditGrants, decodeAuditRecord, encodeAuditRecord, MAX_AUDIT_RECORD_BYTES } from './record.ts'
import type { AuditGrant, AuditItem, AuditRecord, AuditRelease } from './types.ts'

const bytes32 = (name: string): Uint8Array => sha256(utf8ToBytes(name))
const session = `session:${bytesToHex(bytes32('session'))}`
const principal = `eip712:0x${'ab'.repeat(20)}`
const K = nobleCurve.mulBaseSecret(secretScalar(5n))
const item: AuditItem = { chainId: 421_614, handle: bytes32('handle'), K, outcome: 'released' }
const release: AuditRecord & AuditRelease = {
  kind: 'release',
  seq: 7,
  time: 1_800_000_000,
  keyId: bytes32('key') as KeyId,
  sharingId: bytes32('sharing') as SharingId,
  epoch: 3,
  requestHash: bytes32('request'),
  requester: session,
  principal,
  recipientSpkiHash: bytes32('spki'),
  items: [item, { ...item, outcome: 'not-allowed' }],
  rules: ['grant', 'owner'],
  grants: [
    { issuer: `ed25519:${'ab'.repeat(32)}`, grantId: bytes32('grant 2') },
    { issuer: principal, grantId: bytes32('grant') },
    { issuer: principal, grantId: bytes32('grant 1') },
  ].toSorted(compareAuditGrants),
}
const records: readonly AuditRecord[] = [
  { kind: 'start', seq: 0, time: 1, version: '0.1.0' },
  { kind: 'policy', seq: 1, time: 1, fileHash: bytes32('policy') },
  release,
  { ...release, requester: 'none', items: [item], rules: [], grants: [] },
  { kind: 'refusals', seq: 8, time: 60, code: 'busy', keyId: new Uint8Array(32), since: 0, count: 9, requesters: 2 },
  { kind: 'stop', seq: 9, time: 61 },
  { kind: 'loss', seq: 10, time: 62 },
  { kind: 'archive', seq: 11, time: 63, count: 11 },
]
const codeOf = (code: string): unknown => expect.objectContaining({ code })

describe('an audit record', () => {
  it.each(records.map((record) => [record.kind, record] as const))('of kind %s reads back', (_kind, record) => {
    const bytes = encodeAuditRecord(record)
    expect(decodeAuditRecord(bytes)).toEqual(record)
    for (let length = 0; length < bytes.length; length++)
      expect(() => decodeAuditRecord(bytes.slice(0, length))).toThrow(codeOf('bad-encoding'))
    expect(() => decodeAuditRecord(concatBytes(bytes, Uint8Array.of(0)))).toThrow(codeOf('bad-encoding'))
  })

  it('without a session names nobody else', () => {
    const { principal: signer, ...alone } = release
    expect(signer).toBe(principal)
    expect(decodeAuditRecord(encodeAuditRecord(alone))).toEqual(alone)
  })

  it('of the longest request is short enough to be read', () => {
    const rules = Array.from({ length: 64 }, (_, at) => `rule-${String(at).padStart(27, '0')}`)
    const grantOf = (at: number): AuditGrant => ({ issuer: session, grantId: bytes32(`grant ${at}`) })
    const grants = Array.from({ length: 512 }, (_, at) => grantOf(at)).toSorted(compareAuditGrants)
    const full = { ...release, items: Array.from({ length: 256 }, () => item), rules, grants }
    const bytes = encodeAuditRecord(full)
    expect(bytes.length).toBeLessThanOrEqual(MAX_AUDIT_RECORD_BYTES)
    expect(decodeAuditRecord(bytes)).toEqual(full)
  })

  const at = (offset: number, value: number): Uint8Array =>
    encodeAuditRecord(release).map((byte, position) => (position === offset ? value : byte))
  it.each([
    ['version', at(0, 2)],
    ['kind', at(17, 7)],
    ['kind 0', at(17, 0)],
    ['sequence number above 2^53', at(1, 0x80)],
    ['requester', at(122, 0x53)],
    ['K', at(18 + 100 + 4 + 72 + 4 + 49 + 32 + 2 + 40, 4)],
    ['outcome', at(18 + 100 + 4 + 72 + 4 + 49 + 32 + 2 + 73, 99)],
    ['nothing', new Uint8Array(0)],
    ['too much', new Uint8Array(MAX_AUDIT_RECORD_BYTES + 1)],
  ])('is refused with another %s', (_what, bytes) => {
    expect(() => decodeAuditRecord(bytes)).toThrow(expect.objectContaining({ name: 'KmsError' }))
  })

  it.each([
    { rules: ['owner', 'grant'] },
    { rules: ['owner', 'owner'] },
    { rules: ['Owner'] },
    { grants: release.grants.toReversed() },
    { grants: [...release.grants, ...release.grants.slice(-1)] },
    { grants: [{ issuer: 'alice', grantId: bytes32('grant') }] },
    { grants: [{ issuer: principal, grantId: new Uint8Array(31) }] },
    { items: [] },
    { items: Array.from({ length: 257 }, () => item) },
    { requester: 'alice' },
    { principal: '' },
    { requestHash: new Uint8Array(31) },
  ])('is not made from %o', (change) => {
    expect(() => encodeAuditRecord({ ...release, ...change })).toThrow(expect.objectContaining({ name: 'KmsError' }))
  })
})

describe('an audit head', () => {
  const seed = bytes32('identity')
  const publicKey = decodeNodePublicKey(ed25519.getPublicKey(seed))
  const owner = { clusterId: bytes32('cluster') as ClusterId, index: participantIndex(2), publicKey }
  const hash = records.reduce((before, record) => auditHash(before, encodeAuditRecord(record)), auditGenesis(owner))
  const head = { clusterId: owner.clusterId, index: owner.index, count: records.length, hash, time: 1_800_000_060 }
  const signed = signAuditHead((message) => ed25519.sign(message, seed), head)

  it('reads back and verifies', () => {
    expect(decodeAuditHead(signed.head)).toEqual(head)
    expect(encodeAuditHead(head)).toEqual(signed.head)
    expect(verifyAuditHead(verifyEd25519, publicKey, signed)).toBe(true)
  })

  it('does not verify with a byte changed or by another key', () => {
    for (let at = 0; at < signed.head.length; at += 9) {
      const changed = signed.head.map((byte, position) => (position === at ? byte ^ 1 : byte))
      expect(verifyAuditHead(verifyEd25519, publicKey, { ...signed, head: changed })).toBe(false)
    }
    const other = decodeNodePublicKey(ed25519.getPublicKey(bytes32('other')))
    expect(verifyAuditHead(verifyEd25519, other, signed)).toBe(false)
  })

  it('is refused when it ends early, goes on, or is of another version', () => {
    for (const bytes of [
      signed.head.slice(1),
      concatBytes(signed.head, Uint8Array.of(0)),
      Uint8Array.of(2, ...signed.head.slice(1)),
    ])
      expect(() => decodeAuditHead(bytes)).toThrow(codeOf('bad-encoding'))
  })

  it('depends on every record, their order, and whose log it is', () => {
    const [first, second] = records.map(encodeAuditRecord)
    if (first === undefined || second === undefined) throw new Error('there are records')
    const start = auditGenesis(owner)
    const hashes = [
      start,
      auditGenesis({ ...owner, index: participantIndex(3) }),
      auditGenesis({ ...owner, clusterId: bytes32('elsewhere') as ClusterId }),
      auditHash(start, first),
      auditHash(auditHash(start, first), second),
      auditHash(auditHash(start, second), first),
    ]
    expect(new Set(hashes.map(bytesToHex)).size).toBe(hashes.length)
  })
})
