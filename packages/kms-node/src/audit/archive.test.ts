import { copyFile, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type AuditOwner,
  type ClusterId,
  decodeAuditHead,
  decodeAuditRecord,
  decodeNodePublicKey,
  participantIndex,
} from '@tkms/dkg'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { RecordStore } from '../ports.ts'
import { createSigner } from '../serve/pipeline.fixture.ts'
import { memoryStore } from '../store/memory-store.fixture.ts'
import type { LogPoint } from './database.ts'
import { releaseEntry } from './ledger.fixture.ts'
import { type Audit, openAudit } from './open-audit.ts'
import { auditPath } from './open-log.ts'

const RELEASES = 1500
const { publicKey, sign } = createSigner()
const owner: AuditOwner = {
  clusterId: new Uint8Array(32).fill(1) as ClusterId,
  index: participantIndex(2),
  publicKey: decodeNodePublicKey(publicKey),
}
let directory: string
let store: RecordStore
const opened: Audit[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-archive-'))
  store = memoryStore()
})
afterEach(async () => {
  for (const audit of opened.splice(0)) await audit.stop().catch(() => undefined)
  await rm(directory, { recursive: true })
})

async function open(dataDir = directory): Promise<Audit> {
  const audit = await openAudit({
    dataDir,
    store,
    owner,
    sign,
    clock: { nowMs: () => 1_800_000_000_000, monotonicMs: () => 0 },
    limits: { replayEntries: 10_000, replayEntriesPerRequester: 10_000 },
    log: { error: () => undefined, info: () => undefined },
  })
  opened.push(audit)
  return audit
}

const release = async (audit: Audit, releases: number): Promise<void> => {
  const outcomes = await Promise.all(Array.from({ length: releases }, () => audit.ledger.record(releaseEntry())))
  expect(new Set(outcomes)).toEqual(new Set(['recorded']))
}
const headOf = (audit: Audit): LogPoint => decodeAuditHead(audit.head().head)
const kinds = (audit: Audit): readonly string[] =>
  audit.page(0, 100).map(({ record }) => decodeAuditRecord(record).kind)

it('begins where the archived records end, says so in a record, and gives their room back', async () => {
  const before = await open()
  await release(before, RELEASES)
  await before.stop()
  const path = auditPath(directory)
  const { size } = await stat(path)
  const audit = await open()
  const end = headOf(audit)
  expect(await audit.archive(end)).toMatchObject({ count: RELEASES + 1, hash: end.hash })
  expect(await audit.archive(end)).toMatchObject({ count: RELEASES + 1 })
  await release(audit, 1)
  expect(audit.base).toMatchObject({ count: end.count, hash: end.hash })
  expect(kinds(audit)).toEqual(['archive', 'release'])
  expect(decodeAuditRecord(audit.page(0, 1)[0]?.record ?? new Uint8Array())).toMatchObject({ count: end.count })
  await audit.stop()
  expect((await stat(path)).size).toBeLessThan(size / 2)
  expect(kinds(await open())).toEqual(['archive', 'release', 'stop'])
})

it('still knows the requests that were answered before', async () => {
  const audit = await open()
  const entry = releaseEntry()
  expect(await audit.ledger.record(entry)).toBe('recorded')
  await audit.archive(headOf(audit))
  expect(await audit.ledger.record(entry)).toBe('replayed')
})

it('anchors what it is about to remove: a crash just after leaves a log that opens', async () => {
  const audit = await open()
  await release(audit, 600)
  const end = headOf(audit)
  await audit.archive(end)
  const crashed = await mkdtemp(join(tmpdir(), 'tkms-archive-'))
  for (const suffix of ['', '-wal']) await copyFile(auditPath(directory) + suffix, auditPath(crashed) + suffix)
  const after = await open(crashed)
  expect(after.base.count).toBe(end.count)
  expect(kinds(after)).toEqual(['archive'])
  await after.stop()
  await rm(crashed, { recursive: true })
})

it('is archived in part when the node stops meanwhile, and goes on with the next call', async () => {
  const audit = await open()
  await release(audit, RELEASES)
  const end = headOf(audit)
  const archiving = audit.archive(end)
  const stopping = audit.stop()
  await expect(archiving).rejects.toMatchObject({ code: 'audit-io' })
  await stopping
  const again = await open()
  expect(again.base.count).toBeLessThan(end.count)
  expect((await again.archive(end)).count).toBe(end.count)
})

it('removes nothing before a point that this log does not have', async () => {
  const audit = await open()
  await release(audit, 3)
  const { count, hash } = headOf(audit)
  const refused = expect.objectContaining({ code: 'bad-range' }) as Error
  await expect(audit.archive({ count: count + 1, hash })).rejects.toThrow(refused)
  await expect(audit.archive({ count: count - 1, hash })).rejects.toThrow(refused)
  expect(audit.base.count).toBe(0)
  expect(kinds(audit)).toEqual(['release', 'release', 'release'])
})
