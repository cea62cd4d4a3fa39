import { copyFile, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import {
  auditHash,
  type AuditOwner,
  type ClusterId,
  decodeAuditHead,
  decodeAuditRecord,
  decodeNodePublicKey,
  encodeAuditRecord,
  KmsError,
  participantIndex,
} from '@tkms/dkg'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { RecordStore } from '../ports.ts'
import { createSigner } from '../serve/pipeline.fixture.ts'
import { memoryStore } from '../store/memory-store.fixture.ts'
import { ANCHOR_MS, MAX_UNANCHORED_MS, readAnchor, writeAnchor } from './anchor.ts'
import { releaseEntry } from './ledger.fixture.ts'
import { replayId } from './replays.ts'
import { type Audit, type AuditParams, openAudit, withAuditReader } from './open-audit.ts'
import { acceptLoss } from './accept-loss.ts'
import { auditPath } from './open-log.ts'

const NOW = 1_800_000_000
const { publicKey, sign } = createSigner()
const owner: AuditOwner = {
  clusterId: new Uint8Array(32).fill(1) as ClusterId,
  index: participantIndex(2),
  publicKey: decodeNodePublicKey(publicKey),
}
let monotonicMs: number
let directory: string
let path: string
let store: RecordStore
let params: AuditParams
const opened: Audit[] = []

beforeEach(async () => {
  monotonicMs = 0
  directory = await mkdtemp(join(tmpdir(), 'tkms-audit-'))
  path = auditPath(directory)
  store = memoryStore()
  params = {
    dataDir: directory,
    store,
    owner,
    sign,
    clock: { nowMs: () => NOW * 1000, monotonicMs: () => monotonicMs },
    limits: { replayEntries: 1000, replayEntriesPerRequester: 1000 },
    log: { error: () => undefined, info: () => undefined },
  }
})
afterEach(async () => {
  vi.useRealTimers()
  for (const audit of opened.splice(0)) await audit.stop().catch(() => undefined)
  await rm(directory, { recursive: true })
})

async function open(changes: Partial<AuditParams> = {}): Promise<Audit> {
  const audit = await openAudit({ ...params, ...changes })
  opened.push(audit)
  return audit
}

/** A run of the node that releases so many times. */
async function live(releases: number): Promise<void> {
  const audit = await open()
  for (let n = 0; n < releases; n++) expect(await audit.ledger.record(releaseEntry())).toBe('recorded')
  await audit.stop()
}

/** What somebody with the disk does to the log of a node that does not run. */
function tamper(sql: string): void {
  const database = new DatabaseSync(path)
  database.exec(sql)
  database.close()
}
const refusal = (reason: string): unknown =>
  expect.objectContaining({ code: 'audit-broken', data: expect.objectContaining({ reason }) as unknown })
const anchoredCount = async (): Promise<number> => {
  const anchor = await readAnchor(store)
  return anchor === undefined ? -1 : decodeAuditHead(anchor.head).count
}

describe('a log at its node', () => {
  it('is made at the first start, and goes on at the next', async () => {
    await live(3)
    expect(await anchoredCount()).toBe(4)
    await live(2)
    const audit = await open()
    expect(audit.page(0, 100).map(({ record }) => decodeAuditRecord(record).kind)).toEqual(
      'release release release stop release release stop'.split(' '),
    )
    expect(await anchoredCount()).toBe(7)
  })

  it('has its newest record anchored within a second', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const audit = await open()
    await audit.ledger.record(releaseEntry())
    await audit.ledger.record(releaseEntry())
    expect(await anchoredCount()).toBe(0)
    await vi.advanceTimersByTimeAsync(ANCHOR_MS)
    await expect.poll(anchoredCount).toBe(2)
    expect(decodeAuditHead(audit.anchored.head)).toMatchObject({ count: 2, hash: audit.page(1, 1)[0]?.hash })
  })

  it('releases nothing while its records could not be anchored for long, and again once they are', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    let full = false
    const put: RecordStore['put'] = async (...record) => {
      if (full) throw new KmsError('disk-full', 'the disk is full')
      await store.put(...record)
    }
    const audit = await open({ store: { ...store, put } })
    full = true
    expect(await audit.ledger.record(releaseEntry())).toBe('recorded')
    await vi.advanceTimersByTimeAsync(ANCHOR_MS)
    expect(audit.problem()).toBeUndefined()
    monotonicMs += MAX_UNANCHORED_MS + 1
    expect(audit.problem()).toBe('disk-full')
    expect(await audit.ledger.record(releaseEntry())).toBe('unavailable')
    full = false
    await vi.advanceTimersByTimeAsync(ANCHOR_MS)
    await expect.poll(() => audit.problem()).toBeUndefined()
    expect(await audit.ledger.record(releaseEntry())).toBe('recorded')
  })

  it('takes records that a crash kept from being anchored', async () => {
    await live(2)
    const earlier = await readAnchor(store)
    await live(2)
    if (earlier === undefined) throw new Error('there is an anchor')
    await writeAnchor(store, earlier)
    await live(1)
    expect(await anchoredCount()).toBe(8)
  })
})

describe('a log that was tampered with', () => {
  /** Five records, the last the stop. */
  const last = 4
  it.each([
    ['its newest record is edited', 'different', `UPDATE records SET hash = zeroblob(32) WHERE seq = ${last}`],
    [
      'its newest record says something else',
      'chain',
      `UPDATE records SET record = (SELECT record FROM records WHERE seq = 3) WHERE seq = ${last}`,
    ],
    ['its newest record cannot be read', 'unreadable', `UPDATE records SET record = x'00' WHERE seq = ${last}`],
    ['its newest record is removed', 'truncated', `DELETE FROM records WHERE seq = ${last}`],
    ['its records are removed', 'truncated', 'DELETE FROM records'],
    [
      'its newest records change places',
      'different',
      `UPDATE records SET seq = -1 WHERE seq = ${last}; UPDATE records SET seq = ${last} WHERE seq = 3; UPDATE records SET seq = 3 WHERE seq = -1`,
    ],
    [
      'a record is put in at the end',
      'chain',
      `INSERT INTO records SELECT ${last + 1}, record, hash FROM records WHERE seq = 2`,
    ],
    ['its newest records are removed', 'truncated', 'DELETE FROM records WHERE seq > 1'],
    ['its tables are gone', 'damaged', 'DROP TABLE records'],
    ['it is another database', 'damaged', 'PRAGMA application_id = 1'],
  ])('keeps the node from serving when %s', async (_what, reason, sql) => {
    await live(4)
    tamper(sql)
    await expect(open()).rejects.toThrow(refusal(reason))
    await expect(open()).rejects.toThrow(/audit accept-loss --confirm 5/)
  })

  /** Puts a release that never was in at `seq`, chained to the one before it, without the key. */
  function forge(seq: number): void {
    const database = new DatabaseSync(path)
    const before = database.prepare('SELECT hash FROM records WHERE seq = ?').get(seq - 1)?.['hash'] as Uint8Array
    const record = encodeAuditRecord({ seq, time: NOW, ...releaseEntry({ epoch: 9 }).release })
    const hash = auditHash(Uint8Array.from(before), record)
    database.prepare('INSERT OR REPLACE INTO records VALUES (?, ?, ?)').run(seq, record, hash)
    database.close()
  }

  it('keeps the node from serving, and its head from being signed, when records that follow were put in behind the anchor', async () => {
    await live(4)
    forge(last + 1)
    await expect(open()).rejects.toThrow(refusal('tail'))
    await expect(open()).rejects.toThrow(/records from 5 on .* audit accept-loss --confirm 5/)
    const read = withAuditReader(params, async (reader) => [reader.count, reader.page(0, 9).length, reader.head()])
    await expect(read).rejects.toThrow(refusal('tail'))
  })

  it('keeps the node from serving when what no anchor covered was replaced', async () => {
    await live(4)
    const earlier = await readAnchor(store)
    await live(1)
    if (earlier === undefined) throw new Error('there is an anchor')
    await writeAnchor(store, earlier)
    tamper('DELETE FROM records WHERE seq > 5')
    forge(5)
    await expect(open()).rejects.toThrow(refusal('tail'))
  })

  it('keeps the node from serving when its first records are gone as if they had been given up', async () => {
    await live(4)
    tamper(
      'UPDATE base SET count = 3, hash = (SELECT hash FROM records WHERE seq = 2); DELETE FROM records WHERE seq < 3',
    )
    await expect(open()).rejects.toThrow(refusal('tail'))
  })

  it('keeps the node from serving when the key in its store is gone', async () => {
    await live(1)
    await store.erase('audit', 'key')
    await expect(open()).rejects.toThrow(refusal('tail'))
    await acceptLoss(params, 2)
    await open()
  })

  it('keeps no id of an answered request that could be put in without the key', async () => {
    const audit = await open()
    const { requestId, ...entry } = releaseEntry()
    await audit.ledger.record({ requestId, ...entry })
    await audit.stop()
    const id = replayId(entry.release.requester, requestId)
    const database = new DatabaseSync(path)
    const rows = database.prepare('SELECT id FROM replays').all()
    database.close()
    expect(rows).toHaveLength(1)
    expect(Uint8Array.from(rows[0]?.['id'] as Uint8Array)).not.toEqual(id)
    const again = await open()
    expect(again.ledger.seen(entry.release.requester, requestId)).toBe(true)
  })

  it("keeps the node from serving when it is yesterday's copy", async () => {
    await live(2)
    await copyFile(path, `${path}.yesterday`)
    await live(2)
    await rename(`${path}.yesterday`, path)
    await expect(open()).rejects.toThrow(refusal('truncated'))
  })

  it('keeps the node from serving when it is replaced by one as long of the same node', async () => {
    const others = memoryStore()
    const audit = await open({ store: others })
    for (let n = 0; n < 4; n++) await audit.ledger.record(releaseEntry({ epoch: 1 }))
    await audit.stop()
    await rename(path, `${path}.other`)
    await live(4)
    await rename(`${path}.other`, path)
    await expect(open()).rejects.toThrow(refusal('different'))
  })

  it('keeps the node from serving when it is missing, no database, or has no anchor', async () => {
    await live(4)
    await rm(path)
    await expect(open()).rejects.toThrow(refusal('missing'))
    await writeFile(path, new Uint8Array(8192).fill(1))
    await expect(open()).rejects.toThrow(refusal('damaged'))
    await rm(path)
    store = memoryStore()
    await open({ store }).then((audit) => audit.ledger.record(releaseEntry()))
    await opened.at(-1)?.stop()
    await expect(open({ store: memoryStore() })).rejects.toThrow(refusal('no-anchor'))
  })

  it('goes on after the anchor alone when it is given up: what lies beside the lost file is no part of it', async () => {
    await live(4)
    const audit = await open()
    await audit.ledger.record(releaseEntry())
    const wal = await readFile(`${path}-wal`)
    await audit.stop()
    const { count } = decodeAuditHead((await readAnchor(store))?.head ?? new Uint8Array())
    await rm(path)
    await writeFile(`${path}-wal`, wal)
    expect(await acceptLoss(params, count)).toMatchObject({ records: count })
    expect((await readdir(directory)).toSorted()).toEqual(['audit.db', `audit.db.lost-${NOW}-wal`])
    expect((await open()).page(0, 100).map(({ seq }) => seq)).toEqual([count])
  })

  it('is put aside when the operator gives it up, and a new one goes on from the anchor', async () => {
    await live(4)
    await expect(acceptLoss(params, 5)).rejects.toMatchObject({ code: 'audit-intact' })
    tamper('DELETE FROM records WHERE seq > 1')
    await expect(acceptLoss(params, 2)).rejects.toMatchObject({ code: 'confirm-mismatch' })
    const known = await readAnchor(store)
    expect(await acceptLoss(params, 5)).toEqual({ records: 5, aside: `${path}.lost-${NOW}` })
    expect((await readdir(directory)).toSorted()).toEqual(['audit.db', `audit.db.lost-${NOW}`])
    const audit = await open()
    expect(audit.base).toEqual({ count: 5, hash: known && decodeAuditHead(known.head).hash })
    expect(await audit.ledger.record(releaseEntry())).toBe('recorded')
    expect(audit.page(0, 10).map(({ record }) => decodeAuditRecord(record))).toMatchObject([
      { seq: 5, kind: 'loss' },
      { seq: 6, kind: 'release' },
    ])
    expect(audit.ledger.seen('none', new Uint8Array(32))).toBe(false)
  })
})
