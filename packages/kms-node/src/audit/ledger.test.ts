import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AuditRecord, type AuditRelease, decodeAuditRecord, KmsError } from '@tkms/dkg'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { followRecord } from './check-log.ts'
import { type AuditDatabase, createAuditDatabase, openAuditDatabase } from './database.ts'
import { alice, bob, releaseEntry, testLogKey } from './ledger.fixture.ts'
import { createLedger, type Ledger, REFUSAL_WINDOW_MS } from './ledger.ts'
import type { ReleaseEntry } from '../serve/release-ledger.ts'
import { MAX_COUNTED_REQUESTERS } from './refusal-windows.ts'

const bytes32 = (value: number): Uint8Array => new Uint8Array(32).fill(value)
const NOW = 1_800_000_000
let nowSeconds = NOW
const clock = { nowMs: () => nowSeconds * 1000, monotonicMs: () => nowSeconds * 1000 }
const base = { count: 0, hash: bytes32(0) }
let directory: string
let path: string
let database: AuditDatabase
let problems: (string | undefined)[]
const ledgers: Ledger[] = []

beforeEach(async () => {
  nowSeconds = NOW
  problems = []
  directory = await mkdtemp(join(tmpdir(), 'tkms-audit-'))
  path = join(directory, 'audit.db')
  database = createAuditDatabase(path, base, testLogKey)
})
afterEach(async () => {
  vi.useRealTimers()
  for (const ledger of ledgers.splice(0)) ledger.close()
  await rm(directory, { recursive: true })
})

function openLedger(options: { replayEntries?: number; perRequester?: number; blocked?: () => boolean } = {}): Ledger {
  const { replayEntries = 1000, perRequester: replayEntriesPerRequester = 1000, blocked = () => false } = options
  const ledger = createLedger({
    database,
    clock,
    limits: { replayEntries, replayEntriesPerRequester },
    isBlocked: blocked,
    onProblem: (code) => problems.push(code),
    onAppended: () => undefined,
  })
  ledgers.push(ledger)
  return ledger
}

/** Closes the ledger and opens its file again. */
function reopen(ledger: Ledger): Ledger {
  ledger.close()
  database = openAuditDatabase(path, testLogKey)
  return openLedger()
}

/** Every record, after checking that each follows from the one before it. */
function records(): readonly AuditRecord[] {
  let point = database.base
  return database.page(0, 10_000).map((stored) => {
    point = followRecord(point, stored)
    return decodeAuditRecord(stored.record)
  })
}
const kinds = (): readonly string[] => records().map(({ kind }) => kind)

describe('the ledger', () => {
  it('has a release in its file, chained, once it says so; nobody else can read the file', async () => {
    const ledger = openLedger()
    const first = releaseEntry()
    expect(await ledger.record(first)).toBe('recorded')
    expect(records()).toEqual([{ seq: 0, time: NOW, ...first.release }])
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await ledger.record(releaseEntry())).toBe('recorded')
    expect(ledger.tail()).toEqual({ count: 2, hash: database.page(1, 1)[0]?.hash })
  })

  it('writes everything that came together with one commit', async () => {
    const commit = vi.spyOn(database, 'commit')
    const ledger = openLedger()
    const outcomes = await Promise.all(Array.from({ length: 64 }, () => ledger.record(releaseEntry())))
    expect(new Set(outcomes)).toEqual(new Set(['recorded']))
    expect(commit).toHaveBeenCalledTimes(1)
    expect(records()).toHaveLength(64)
  })

  it('answers one of two identical requests, together or one after the other', async () => {
    const ledger = openLedger()
    const same = releaseEntry()
    expect(ledger.seen(alice, same.requestId)).toBe(false)
    expect(await Promise.all([ledger.record(same), ledger.record(same)])).toEqual(['recorded', 'replayed'])
    expect(await ledger.record(same)).toBe('replayed')
    expect(ledger.seen(alice, same.requestId)).toBe(true)
    expect(ledger.seen(bob, same.requestId)).toBe(false)
    expect(records()).toHaveLength(1)
  })

  it('knows after a restart what was answered before it, and goes on with the chain', async () => {
    const ledger = openLedger()
    const before = releaseEntry()
    await ledger.record(before)
    const after = reopen(ledger)
    expect(after.seen(alice, before.requestId)).toBe(true)
    expect(await after.record(before)).toBe('replayed')
    expect(await after.record(releaseEntry())).toBe('recorded')
    expect(kinds()).toEqual(['release', 'stop', 'release'])
  })

  it('forgets a request only when it could not be asked again', async () => {
    const ledger = openLedger({ replayEntries: 1 })
    const old = releaseEntry()
    await ledger.record(old)
    nowSeconds = old.expiresAt + 60
    expect(await ledger.record(old)).toBe('replayed')
    expect(await ledger.record(releaseEntry({}, nowSeconds + 300))).toBe('full')
    nowSeconds = old.expiresAt + 121
    expect(await ledger.record(releaseEntry({}, nowSeconds + 300))).toBe('recorded')
    expect(ledger.seen(alice, old.requestId)).toBe(false)
  })

  it('leaves room for others when one requester asks too much, also through many sessions, also after a restart', async () => {
    const limits = { replayEntries: 3, perRequester: 2 }
    const ledger = openLedger(limits)
    const session = (byte: string): Partial<AuditRelease> => ({
      requester: `session:${byte.repeat(32)}`,
      principal: alice,
    })
    expect(await ledger.record(releaseEntry(session('01')))).toBe('recorded')
    expect(await ledger.record(releaseEntry(session('02')))).toBe('recorded')
    expect(await ledger.record(releaseEntry(session('03')))).toBe('full')
    ledger.close()
    database = openAuditDatabase(path, testLogKey)
    const again = openLedger(limits)
    expect(await again.record(releaseEntry())).toBe('full')
    expect(await again.record(releaseEntry({ requester: bob }))).toBe('recorded')
    expect(await again.record(releaseEntry({ requester: `ed25519:${'ef'.repeat(32)}` }))).toBe('full')
    expect(kinds().filter((kind) => kind === 'release')).toHaveLength(3)
  })

  it('counts unsigned requests for where they come from: no caller takes the room of the others', async () => {
    const ledger = openLedger({ perRequester: 2 })
    const unsigned = (address: string): ReleaseEntry => releaseEntry({ requester: 'none' }, undefined, address)
    const [first, ...others] = ['192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.2'].map(unsigned)
    if (first === undefined) throw new Error('no entry')
    expect(await ledger.record(first)).toBe('recorded')
    expect(await Promise.all(others.map((entry) => ledger.record(entry)))).toEqual(['recorded', 'full', 'recorded'])
    expect(await ledger.record({ ...first, address: '192.0.2.3' })).toBe('replayed')
  })

  it('asks at the commit whether what decided still holds', async () => {
    const ledger = openLedger()
    const entry = releaseEntry()
    let holds = true
    const outcome = ledger.record({ ...entry, holds: () => holds })
    holds = false
    expect(await outcome).toBe('outdated')
    expect(await ledger.record(entry)).toBe('recorded')
    expect(await ledger.record({ ...entry, holds: () => false })).toBe('replayed')
    expect(records()).toHaveLength(1)
  })

  it('forgets all that is over within one second, more of it than one commit forgets', async () => {
    const ledger = openLedger({ replayEntries: 2_000, perRequester: 2_000 })
    const old = await Promise.all(Array.from({ length: 1_500 }, () => ledger.record(releaseEntry())))
    expect(new Set(old)).toEqual(new Set(['recorded']))
    nowSeconds += 3_600
    const fresh = Array.from({ length: 3 }, () => releaseEntry({}, nowSeconds + 300))
    for (const entry of fresh) expect(await ledger.record(entry)).toBe('recorded')
    expect([...database.replayCounts().values()]).toEqual([3])
  })

  it('records nothing while it may not, and says so', async () => {
    let blocked = true
    const ledger = openLedger({ blocked: () => blocked })
    const waiting = releaseEntry()
    expect(await ledger.record(waiting)).toBe('unavailable')
    blocked = false
    expect(await ledger.record(waiting)).toBe('recorded')
    expect(records()).toHaveLength(1)
  })

  it('has what is noted now when it returns, or keeps nothing of it', async () => {
    const ledger = openLedger()
    ledger.noteNow({ kind: 'archive', count: 0 })
    expect(records()).toMatchObject([{ kind: 'archive' }])
    const commit = vi.spyOn(database, 'commit').mockImplementation(() => {
      throw new KmsError('disk-full', 'the disk is full')
    })
    expect(() => ledger.noteNow({ kind: 'archive', count: 1 })).toThrow('the disk is full')
    expect(ledger.problem).toBe('disk-full')
    commit.mockRestore()
    expect(await ledger.record(releaseEntry())).toBe('recorded')
    expect(kinds()).toEqual(['archive', 'release'])
  })

  it('takes nothing after it was closed', async () => {
    const ledger = openLedger()
    ledger.close()
    expect(() => ledger.noteNow({ kind: 'archive', count: 0 })).toThrow('the node stops')
    expect(await ledger.record(releaseEntry())).toBe('unavailable')
  })
})

describe('refusals', () => {
  it('are counted per reason and key, and written when their window ends', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] })
    const ledger = openLedger()
    for (let n = 0; n < 10_000; n++)
      ledger.refused({ code: 'not-allowed', keyId: bytes32(1), requester: `ed25519:${n}` })
    for (let n = 0; n < 5; n++) ledger.refused({ code: 'malformed' })
    nowSeconds += 60
    expect(records()).toEqual([])
    vi.advanceTimersByTime(REFUSAL_WINDOW_MS)
    vi.runOnlyPendingTimers()
    const common = { kind: 'refusals', time: NOW + 60, since: NOW }
    expect(records()).toEqual([
      { seq: 0, ...common, code: 'not-allowed', keyId: bytes32(1), count: 10_000, requesters: MAX_COUNTED_REQUESTERS },
      { seq: 1, ...common, code: 'malformed', keyId: bytes32(0), count: 5, requesters: 0 },
    ])
  })

  it('are bounded in number whatever is asked for, and lose none', () => {
    const ledger = openLedger()
    for (let n = 0; n < 3000; n++) {
      const keyId = bytes32(0)
      new DataView(keyId.buffer).setUint32(0, n + 1)
      ledger.refused({ code: 'not-allowed', keyId })
    }
    ledger.close()
    database = openAuditDatabase(path, testLogKey)
    const written = records().filter((record) => record.kind === 'refusals')
    expect(written.length).toBeLessThanOrEqual(1025)
    expect(written.reduce((sum, { count }) => sum + count, 0)).toBe(3000)
    expect(kinds().at(-1)).toBe('stop')
    database.close()
  })
})
