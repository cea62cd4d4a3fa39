import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdtemp, rm, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { followRecord } from './check-log.ts'
import { type AuditDatabase, createAuditDatabase, openAuditDatabase } from './database.ts'
import { alice, testLogKey } from './ledger.fixture.ts'
import { replayId } from './replays.ts'

/** Records releases in groups of four for ever, and prints a request's id as soon as its release is on record: that is its answer. */
const PROGRAM = (path: string): string => `
  const { openAuditDatabase } = await import(${JSON.stringify(new URL('./database.ts', import.meta.url).href)})
  const { memoryLedger, releaseEntry, testLogKey } = await import(${JSON.stringify(new URL('./ledger.fixture.ts', import.meta.url).href)})
  const clock = { nowMs: () => 1_800_000_000_000, monotonicMs: () => 0 }
  const limits = { replayEntries: 1_000_000, replayEntriesPerRequester: 1_000_000 }
  const ledger = memoryLedger(clock, { database: openAuditDatabase(${JSON.stringify(path)}, testLogKey), limits })
  const { writeSync } = await import('node:fs')
  for (;;) await Promise.all([1, 2, 3, 4].map(async () => {
    const entry = releaseEntry()
    if (await ledger.record(entry) === 'recorded') writeSync(1, Buffer.from(entry.requestId).toString('hex') + '\\n')
  }))`

let directory: string
let path: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-crash-'))
  path = join(directory, 'audit.db')
  createAuditDatabase(path, { count: 0, hash: new Uint8Array(32) }, testLogKey).close()
})
afterEach(() => rm(directory, { recursive: true }))

/** Kills the program once it has given so many answers. @returns the ids it answered, some perhaps while it was killed */
async function killAfter(answers: number): Promise<readonly string[]> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM(path)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const given: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.length === 64) given.push(line)
    if (given.length === answers) child.kill('SIGKILL')
  }
  await exited
  return given
}

/** How many records there are, each following from the one before it. */
function checked(database: AuditDatabase): number {
  let point = database.base
  for (const stored of database.page(0, 1_000_000)) point = followRecord(point, stored)
  return point.count
}

it('has every release whose answer was given, whenever the process is killed', { timeout: 60_000 }, async () => {
  let before = 0
  for (const answers of [1, 6, 40]) {
    const given = await killAfter(answers)
    expect(given.length).toBeGreaterThanOrEqual(answers)
    const database = openAuditDatabase(path, testLogKey)
    for (const id of given) expect(database.hasReplay(replayId(alice, Buffer.from(id, 'hex')))).toBe(true)
    const count = checked(database)
    expect(count - before).toBeGreaterThanOrEqual(given.length)
    before = count
    database.close()
  }
})

it('is whole up to the last commit that the disk has, wherever a write was torn', { timeout: 60_000 }, async () => {
  await killAfter(30)
  const { size } = await stat(`${path}-wal`)
  const counts: number[] = []
  for (let part = 0; part <= 10; part++) {
    const torn = join(directory, `torn-${part}.db`)
    await copyFile(path, torn)
    await copyFile(`${path}-wal`, `${torn}-wal`)
    await truncate(`${torn}-wal`, Math.floor((size * part) / 10))
    const database = openAuditDatabase(torn, testLogKey)
    const count = checked(database)
    counts.push(count)
    // A release and its request are there together or not at all.
    expect([...database.replayCounts().values()].reduce((sum, of) => sum + of, 0)).toBe(count)
    database.close()
  }
  expect(counts).toEqual(counts.toSorted((left, right) => left - right))
  expect([counts[0], (counts.at(-1) ?? 0) >= 30]).toEqual([0, true])
})
