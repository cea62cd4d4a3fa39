import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sha256 } from '@noble/hashes/sha2.js'
import {
  type AuditRecord,
  decodeAuditRecord,
  encodeRequest,
  itemPoint,
  type RequestItemV1,
  requestHash,
} from '@tkms/dkg'
import { expect, it } from 'vitest'
import { type AuditDatabase, createAuditDatabase, openAuditDatabase } from '../audit/database.ts'
import { memoryLedger, testLogKey } from '../audit/ledger.fixture.ts'
import {
  alice,
  authorize,
  bytes32,
  clock,
  createSigner,
  createTestPipeline,
  grantedItem,
  grantPolicy,
  issuer,
  itemFor,
  keyId,
  NOW_SECONDS,
  requestOf,
  sharingId,
  spki,
} from './pipeline.fixture.ts'
import type { DelegationCall } from './pipeline.ts'
import type { ReleaseLedger, ReleaseOutcome } from './release-ledger.ts'

const call = (address = '10.0.0.1'): DelegationCall => ({
  remote: 'test',
  address,
  signal: new AbortController().signal,
})
const emptyLog = (): AuditDatabase =>
  createAuditDatabase(':memory:', { count: 0, hash: new Uint8Array(32) }, testLogKey)
const recordsOf = (database: AuditDatabase): readonly AuditRecord[] =>
  database.page(0, 100).map(({ record }) => decodeAuditRecord(record))

it('writes down who got what, for which key, by which rules, and what was refused', async () => {
  const database = emptyLog()
  const { pipeline } = createTestPipeline({ ledger: memoryLedger(clock, { database }) })
  const [mine, others] = [itemFor(alice), itemFor(createSigner())]
  const request = requestOf({ items: [mine, others] })
  expect(await pipeline.handle(authorize(request), call())).toMatchObject({ kind: 'answer' })
  const entry = ({ header }: typeof mine): object => ({ chainId: 0, handle: header.label.handle })
  expect(recordsOf(database)).toEqual([
    {
      kind: 'release',
      seq: 0,
      time: NOW_SECONDS,
      keyId,
      sharingId,
      epoch: 0,
      requestHash: requestHash(encodeRequest(request)),
      requester: alice.id,
      recipientSpkiHash: sha256(spki),
      items: [
        { ...entry(mine), K: itemPoint(mine), outcome: 'released' },
        { ...entry(others), K: itemPoint(others), outcome: 'not-allowed' },
      ],
      rules: ['owner'],
      grants: [],
    },
  ])
})

it('names each grant that was taken for a yes, once and in order, and none of an item that was refused', async () => {
  const database = emptyLog()
  const { pipeline } = createTestPipeline({ ledger: memoryLedger(clock, { database }), policy: grantPolicy() })
  const granted = (id: number, changes: object = {}): RequestItemV1 => grantedItem({ grantId: bytes32(id), ...changes })
  const twice = granted(9)
  const items = [twice, granted(3), granted(5, { requester: createSigner().id }), twice]
  expect(await pipeline.handle(authorize(requestOf({ items })), call())).toMatchObject({ kind: 'answer' })
  expect(recordsOf(database)).toMatchObject([
    {
      rules: ['grant'],
      grants: [3, 9].map((id) => ({ issuer: issuer.id, grantId: bytes32(id) })),
    },
  ])
})

it('touches the share only once the release is on record, and gives nothing when it is not', async () => {
  const settles: ((outcome: ReleaseOutcome) => void)[] = []
  const record: ReleaseLedger['record'] = () => new Promise((resolve) => settles.push(resolve))
  const { pipeline, lender } = createTestPipeline({ ledger: { ...memoryLedger(clock), record } })
  const asked = ['10.0.0.1', '10.0.0.2'].map((address) => pipeline.handle(authorize(requestOf()), call(address)))
  await expect.poll(() => settles.length).toBe(2)
  expect(lender.uses).toBe(0)
  settles[0]?.('recorded')
  settles[1]?.('unavailable')
  expect((await asked[0])?.kind).toBe('answer')
  expect(await asked[1]).toEqual({ kind: 'refusal', code: 'audit-unavailable' })
  expect(lender.uses).toBe(1)
})

it('gives one answer to two identical requests that come together', async () => {
  const { pipeline, lender } = createTestPipeline()
  const same = authorize(requestOf())
  const results = await Promise.all([pipeline.handle(same, call()), pipeline.handle(same, call())])
  expect(results.map((result) => (result.kind === 'answer' ? 'answer' : result.code)).toSorted()).toEqual([
    'answer',
    'replayed',
  ])
  expect(lender.uses).toBe(1)
})

it('counts what it refuses, under the key and requester that it could verify', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tkms-audit-'))
  const path = join(directory, 'audit.db')
  const ledger = memoryLedger(clock, {
    database: createAuditDatabase(path, { count: 0, hash: new Uint8Array(32) }, testLogKey),
  })
  const { pipeline } = createTestPipeline({ ledger })
  const stranger = createSigner()
  for (let n = 0; n < 3; n++)
    await pipeline.handle(authorize(requestOf({ publicKeyId: stranger.id }), stranger), call())
  await pipeline.handle({ ...authorize(requestOf()), signature: new Uint8Array(64) }, call())
  ledger.close()
  const database = openAuditDatabase(path, testLogKey)
  expect(recordsOf(database)).toMatchObject([
    { kind: 'refusals', code: 'not-allowed', keyId, count: 3, requesters: 1 },
    { kind: 'refusals', code: 'bad-signature', keyId: new Uint8Array(32), count: 1, requesters: 0 },
    { kind: 'stop' },
  ])
  database.close()
  await rm(directory, { recursive: true })
})
