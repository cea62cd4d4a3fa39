import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AuditOwner, auditGenesis, type ClusterId, decodeNodePublicKey, participantIndex } from '@tkms/dkg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSigner } from '../serve/pipeline.fixture.ts'
import { headAt } from './anchor.ts'
import { type AuditDatabase, createAuditDatabase, type LogPoint } from './database.ts'
import { exportLines, headLine, openExport, openExports, readHeadFile } from './export-file.ts'
import { memoryLedger, releaseEntry, testLogKey } from './ledger.fixture.ts'
import { readLog } from './read-log.ts'
import { type ClaimedHead, type VerifiedLog, verifyLog } from './verify-log.ts'

const clock = { nowMs: () => 1_800_000_000_000, monotonicMs: () => 0 }
const { publicKey, sign } = createSigner()
const owner: AuditOwner = {
  clusterId: new Uint8Array(32).fill(1) as ClusterId,
  index: participantIndex(2),
  publicKey: decodeNodePublicKey(publicKey),
}
const ports = { owner, sign, clock }
const genesis = { count: 0, hash: auditGenesis(owner) }

let directory: string
let file: string
let database: AuditDatabase
let lines: readonly string[]

/** A log of five releases, and its export. */
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-export-'))
  file = join(directory, 'audit.jsonl')
  database = createAuditDatabase(':memory:', genesis, testLogKey)
  const ledger = memoryLedger(clock, { database })
  for (let epoch = 0; epoch < 5; epoch++) await ledger.record(releaseEntry({ epoch }))
  lines = await exported(genesis)
})
afterEach(() => rm(directory, { recursive: true }))

const head = (point: LogPoint = database.tail()): ReturnType<typeof headAt> => headAt(ports, point)
async function exported(base: LogPoint): Promise<string[]> {
  const written: string[] = []
  const records = readLog(database, base.count, 5)
  for await (const line of exportLines({ base, records, head: head() })) written.push(line)
  return written
}
const pointAfter = (count: number): LogPoint => ({
  count,
  hash: database.page(count - 1, 1)[0]?.hash ?? genesis.hash,
})

async function verify(written: readonly string[], kept: readonly ClaimedHead[] = [], by = owner): Promise<VerifiedLog> {
  await writeFile(file, written.join(''))
  const { base, head: last, records } = await openExport(file)
  return verifyLog({ owner: by, base, heads: [{ what: 'its head', signed: last }, ...kept] }, records())
}
const broken = (reason: string, at?: number): unknown =>
  expect.objectContaining({ code: 'audit-broken', data: { reason, ...(at !== undefined && { at }) } })

describe('an export', () => {
  it('is whole as it was written, from the beginning or a later record', async () => {
    expect(await verify(lines)).toEqual({ from: 0, ...database.tail() })
    expect(await verify(await exported(pointAfter(3)))).toEqual({ from: 3, ...database.tail() })
    expect(await verify(await exported(database.tail()))).toEqual({ from: 5, ...database.tail() })
    expect(await verify(lines.map((line) => line.replace('\n', '\r\n')))).toEqual({ from: 0, ...database.tail() })
    const [last = ''] = lines.slice(-1)
    expect(await verify([...lines.slice(0, -1), last.trimEnd()])).toEqual({ from: 0, ...database.tail() })
    expect(JSON.parse(lines[1] ?? '')).toMatchObject({ seq: 0, kind: 'release', items: [{ outcome: 'released' }] })
  })

  const at = (line: number): string => lines[line] ?? ''
  /** With another first digit of the field, whatever it is. */
  const otherwise = (line: string, field: string): string =>
    line.replace(new RegExp(`(?<="${field}":"0x).`), (digit) => (digit === '0' ? '1' : '0'))
  const mauled: [string, unknown, () => readonly string[]][] = [
    ['a record is removed', broken('chain', 2), () => lines.toSpliced(3, 1)],
    ['records change places', broken('chain', 2), () => lines.toSpliced(3, 2, at(4), at(3))],
    ['a record is there twice', broken('chain', 3), () => lines.toSpliced(4, 0, at(3))],
    ['its end is cut off', broken('truncated', 4), () => lines.toSpliced(5, 1)],
    ['its fields say something else', broken('unreadable', 2), () => lines.with(3, at(3).replace('owner', 'grant'))],
    [
      'its bytes say something else',
      broken('unreadable', 2),
      () => lines.with(3, at(3).replace('"record":"0x01', '"record":"0x02')),
    ],
    ['a hash is another', broken('chain', 2), () => lines.with(3, otherwise(at(3), 'hash'))],
    ['its signature is another', broken('signature'), () => lines.with(6, otherwise(at(6), 'signature'))],
    ['it begins elsewhere', broken('chain', 0), () => lines.with(0, otherwise(at(0), 'previous'))],
  ]
  it.each(mauled)('is not when %s', async (_what, error, make) => {
    await expect(verify(make())).rejects.toThrow(error as Error)
  })

  it('is not by the key of another node', async () => {
    const other = { ...owner, publicKey: decodeNodePublicKey(createSigner().publicKey) }
    await expect(verify(lines, [], other)).rejects.toThrow(broken('signature') as Error)
    await expect(verify(lines, [], { ...owner, index: participantIndex(3) })).rejects.toThrow(
      broken('signature') as Error,
    )
  })

  it('contains what was kept of it, and nothing else of its node', async () => {
    const kept = (point: LogPoint): readonly ClaimedHead[] => [{ what: 'kept', signed: head(point) }]
    expect((await verify(lines, kept(pointAfter(3)))).count).toBe(5)
    expect((await verify(lines, kept(genesis))).count).toBe(5)
    const elsewhere = { count: 3, hash: new Uint8Array(32).fill(9) }
    await expect(verify(lines, kept(elsewhere))).rejects.toThrow(broken('different', 2) as Error)
    await expect(verify(lines, kept({ ...elsewhere, count: 9 }))).rejects.toThrow(broken('truncated', 5) as Error)
    const part = await exported(pointAfter(3))
    await expect(verify(part, kept(pointAfter(2)))).rejects.toMatchObject({ code: 'audit-head-too-old' })
  })

  it('is one log with those that follow it, in order and without a gap', async () => {
    const [whole, first, second, later] = ['whole', 'first', 'second', 'later'].map((name) => join(directory, name))
    if (whole === undefined || first === undefined || second === undefined || later === undefined)
      throw new Error('four names')
    const upTo = async (base: LogPoint, end: LogPoint): Promise<string> => {
      const written: string[] = []
      const records = readLog(database, base.count, end.count)
      for await (const line of exportLines({ base, records, head: head(end) })) written.push(line)
      return written.join('')
    }
    await writeFile(whole, lines.join(''))
    await writeFile(first, await upTo(genesis, pointAfter(2)))
    await writeFile(second, await upTo(pointAfter(2), pointAfter(5)))
    await writeFile(later, await upTo(pointAfter(3), pointAfter(5)))
    const verifyAll = async (...files: readonly string[]): Promise<VerifiedLog> => {
      const { base, heads, records } = await openExports(files)
      return verifyLog({ owner, base, heads }, records())
    }
    expect(await verifyAll(first, second)).toEqual(await verifyAll(whole))
    for (const files of [
      [second, first],
      [first, later],
      [first, first],
      [whole, second],
    ])
      await expect(verifyAll(...files)).rejects.toMatchObject({ code: 'bad-range' })
    await writeFile(second, otherwise(await upTo(pointAfter(2), pointAfter(5)), 'previous'))
    await expect(verifyAll(first, second)).rejects.toMatchObject({ code: 'bad-range' })
  })

  it('is refused when it is something else', async () => {
    for (const text of ['', '{}\n', 'not json\n', lines.slice(0, 6).join('')]) {
      await writeFile(file, text)
      await expect(openExport(file)).rejects.toMatchObject({ code: 'bad-audit-file' })
    }
    const begin = lines[0] ?? ''
    await writeFile(file, `${begin}${' '.repeat(300_000)}\n${lines.at(-1) ?? ''}`)
    await expect(openExport(file)).rejects.toThrow(/line that is too long/)
    await expect(openExport(join(directory, 'none'))).rejects.toMatchObject({ code: 'bad-audit-file' })
  })
})

it('a head is read from a file of its own, and from the end of an export', async () => {
  await writeFile(file, headLine(head()))
  const alone = await readHeadFile(file)
  await writeFile(file, lines.join(''))
  expect(await readHeadFile(file)).toEqual(alone)
  expect(await readFile(file, 'utf8')).toContain('"kind":"head"')
})
