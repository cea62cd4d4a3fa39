import { closeSync, constants, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { equalBytes } from '@tkms/dkg'
import { brokenLog } from './errors.ts'
import type { LogKey } from './log-key.ts'
import { bytesOf, numberOf, typed } from './sqlite.ts'

/** "TKMS" as SQLite's application id. */
const APPLICATION_ID = 0x544b4d53
const SCHEMA_VERSION = 1
/** Remembered requests that are over, forgotten with one transaction at most. */
const FORGET_PER_COMMIT = 1000
/** What a probe writes: more than any commit of refusals. */
const PROBE_BYTES = 64 * 1024
/** Pages of 4 KiB that go back to the disk with one cut, at most. */
const FREED_PAGES = 256
/** The write-ahead log shrinks to this after a checkpoint. */
const MAX_IDLE_WAL_BYTES = 4 * 1024 * 1024

const SCHEMA = `
  CREATE TABLE base (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;
  CREATE TABLE records (seq INTEGER PRIMARY KEY, record BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
  CREATE TABLE tail (one INTEGER PRIMARY KEY CHECK (one = 1), mac BLOB NOT NULL) STRICT;
  CREATE TABLE replays (id BLOB PRIMARY KEY, requester BLOB NOT NULL, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX replays_expires ON replays (expires);
  CREATE TABLE probe (one INTEGER PRIMARY KEY, filler BLOB NOT NULL) STRICT;
`

/** How far a log has got, or where the part that a node has begins. */
export interface LogPoint {
  /** Records before it. */
  readonly count: number
  /** The chain's hash there, 32 bytes. */
  readonly hash: Uint8Array
}

export interface StoredRecord {
  readonly seq: number
  readonly record: Uint8Array
  /** The chain's hash after it. */
  readonly hash: Uint8Array
}

export interface StoredReplay {
  /** 32 bytes; kept as its MAC. */
  readonly id: Uint8Array
  /** 16 bytes: whose it is. */
  readonly requester: Uint8Array
  /** Unix seconds. */
  readonly expires: number
}

/** What is written within one transaction. */
export interface AuditWriter {
  /** @returns whether it is new */
  remember(replay: StoredReplay): boolean
  append(record: StoredRecord): void
  /** Forgets some of what expired before `seconds`. @returns their requesters, one for each */
  forget(seconds: number): readonly Uint8Array[]
}

/** `audit.db`: records and remembered requests, so that one commit covers both. Every method throws KmsError `disk-full`, `audit-io`, `audit-broken`. */
export interface AuditDatabase {
  /** Where the part of the log that this node has begins. */
  readonly base: LogPoint
  tail(): LogPoint
  /**
   * Removes the first records that it still has, all before `end` or `limit` of them, and gives some of their room back to the disk; the
   * log begins after them from then on. One commit.
   * @param end not behind the tail
   */
  cut(end: number, limit: number): void
  /** Whether whoever wrote its base and its newest record had the key. */
  isOwnTail(): boolean
  /** Of the records from `from` on, in order, at most `limit`. */
  page(from: number, limit: number): readonly StoredRecord[]
  hasReplay(id: Uint8Array): boolean
  /** Remembered requests per requester, in hex. */
  replayCounts(): Map<string, number>
  /** All or nothing, and synced when it returns. */
  commit<T>(write: (writer: AuditWriter) => T): T
  /** Writes and removes something, to see whether there is room again. */
  probe(): void
  close(): void
}

/**
 * Makes an empty log, in one step that a crash cannot cut in two; a file that is there is replaced.
 * @param path ":memory:" for one without a file
 * @param base what the first record will be chained to
 */
export function createAuditDatabase(path: string, base: LogPoint, key: LogKey): AuditDatabase {
  return typed(() => {
    if (path === ':memory:') return new SqliteAuditDatabase(makeSchema(connect(path), base, key), key)
    const unfinished = `${path}.new`
    for (const suffix of ['', '-wal']) rmSync(unfinished + suffix, { force: true })
    closeSync(openSync(unfinished, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600))
    makeSchema(connect(unfinished), base, key).close()
    // Of another log: SQLite would play it into this one.
    rmSync(`${path}-wal`, { force: true })
    renameSync(unfinished, path)
    const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      fsyncSync(directory)
    } finally {
      closeSync(directory)
    }
    return openAuditDatabase(path, key)
  })
}

function makeSchema(database: DatabaseSync, base: LogPoint, key: LogKey): DatabaseSync {
  try {
    database.exec(`BEGIN IMMEDIATE; ${SCHEMA}
      PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION};`)
    database.prepare('INSERT INTO base VALUES (1, ?, ?)').run(base.count, base.hash)
    database.prepare('INSERT INTO tail VALUES (1, ?)').run(key.tailMac(base, base))
    database.exec('COMMIT')
    return database
  } catch (cause) {
    database.close()
    throw cause
  }
}

/** Opens one that exists, and makes good what a crash left. */
export function openAuditDatabase(path: string, key: LogKey): AuditDatabase {
  return typed(() => {
    const database = connect(path)
    try {
      const pragma = (name: string): unknown => database.prepare(`PRAGMA ${name}`).get()?.[name]
      if (pragma('application_id') !== APPLICATION_ID || pragma('user_version') !== SCHEMA_VERSION)
        throw brokenLog('damaged', 'audit.db is not an audit log, or one of another version')
      return new SqliteAuditDatabase(database, key)
    } catch (cause) {
      database.close()
      throw cause
    }
  })
}

/** Nobody else may use it while it is open, so its index is in memory and a full disk shows at a commit, nowhere else. */
function connect(path: string): DatabaseSync {
  const database = new DatabaseSync(path)
  try {
    database.exec(`PRAGMA auto_vacuum = INCREMENTAL; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
      PRAGMA journal_size_limit = ${MAX_IDLE_WAL_BYTES};`)
    return database
  } catch (cause) {
    database.close()
    throw cause
  }
}

class SqliteAuditDatabase implements AuditDatabase {
  #base: LogPoint
  readonly #database: DatabaseSync
  readonly #key: LogKey
  /** Where the transaction under way has got to, if it appended. */
  #appended: LogPoint | undefined
  readonly #statements: Record<
    'begin' | 'commit' | 'append' | 'seal' | 'remember' | 'forget' | 'hasReplay' | 'page' | 'last',
    StatementSync
  >

  constructor(database: DatabaseSync, key: LogKey) {
    this.#database = database
    this.#key = key
    const row = database.prepare('SELECT count, hash FROM base').get()
    if (row === undefined) throw brokenLog('damaged', 'audit.db does not say where it begins')
    this.#base = { count: numberOf(row['count']), hash: bytesOf(row['hash']) }
    this.#statements = {
      begin: database.prepare('BEGIN IMMEDIATE'),
      commit: database.prepare('COMMIT'),
      append: database.prepare('INSERT INTO records VALUES (?, ?, ?)'),
      seal: database.prepare('INSERT OR REPLACE INTO tail VALUES (1, ?)'),
      remember: database.prepare('INSERT OR IGNORE INTO replays VALUES (?, ?, ?)'),
      forget: database.prepare(
        `DELETE FROM replays WHERE id IN (SELECT id FROM replays WHERE expires < ? LIMIT ${FORGET_PER_COMMIT}) RETURNING requester`,
      ),
      hasReplay: database.prepare('SELECT 1 FROM replays WHERE id = ?'),
      page: database.prepare('SELECT seq, record, hash FROM records WHERE seq >= ? ORDER BY seq LIMIT ?'),
      last: database.prepare('SELECT seq, hash FROM records ORDER BY seq DESC LIMIT 1'),
    }
  }

  get base(): LogPoint {
    return this.#base
  }

  tail(): LogPoint {
    const row = typed(() => this.#statements.last.get())
    return row === undefined ? this.base : { count: numberOf(row['seq']) + 1, hash: bytesOf(row['hash']) }
  }

  isOwnTail(): boolean {
    const mac = typed(() => this.#database.prepare('SELECT mac FROM tail').get())?.['mac']
    return mac instanceof Uint8Array && equalBytes(mac, this.#key.tailMac(this.base, this.tail()))
  }

  page(from: number, limit: number): readonly StoredRecord[] {
    return typed(() => this.#statements.page.all(from, limit)).map((row) => ({
      seq: numberOf(row['seq']),
      record: bytesOf(row['record']),
      hash: bytesOf(row['hash']),
    }))
  }

  hasReplay(id: Uint8Array): boolean {
    return typed(() => this.#statements.hasReplay.get(this.#key.replayMac(id))) !== undefined
  }

  replayCounts(): Map<string, number> {
    const query = 'SELECT hex(requester) AS requester, count(*) AS count FROM replays GROUP BY requester'
    const rows = typed(() => this.#database.prepare(query).all())
    return new Map(rows.map((row) => [String(row['requester']).toLowerCase(), numberOf(row['count'])]))
  }

  commit<T>(write: (writer: AuditWriter) => T): T {
    return this.#transact(() => {
      this.#appended = undefined
      const result = write(this.#writer)
      if (this.#appended !== undefined) this.#statements.seal.run(this.#key.tailMac(this.base, this.#appended))
      return result
    })
  }

  cut(end: number, limit: number): void {
    const tail = this.tail()
    const count = Math.min(end, tail.count, this.#base.count + limit)
    const [last] = count > this.#base.count ? this.page(count - 1, 1) : []
    if (last === undefined) return
    const base = { count, hash: last.hash }
    this.#transact(() => {
      this.#database.prepare('DELETE FROM records WHERE seq < ?').run(count)
      this.#database.prepare('UPDATE base SET count = ?, hash = ?').run(count, base.hash)
      this.#statements.seal.run(this.#key.tailMac(base, tail))
    })
    this.#base = base
    typed(() => this.#database.exec(`PRAGMA incremental_vacuum(${FREED_PAGES})`))
  }

  #transact<T>(work: () => T): T {
    return typed(() => {
      this.#statements.begin.run()
      try {
        const result = work()
        this.#statements.commit.run()
        return result
      } finally {
        // SQLite has rolled back by itself after some errors. What it could not commit is gone at the latest here.
        if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      }
    })
  }

  probe(): void {
    typed(() => {
      this.#database.prepare('INSERT OR REPLACE INTO probe VALUES (1, zeroblob(?))').run(PROBE_BYTES)
      this.#database.exec('DELETE FROM probe')
    })
  }

  close(): void {
    typed(() => this.#database.close())
  }

  readonly #writer: AuditWriter = {
    remember: ({ id, requester, expires }) =>
      this.#statements.remember.run(this.#key.replayMac(id), requester, expires).changes === 1,
    append: ({ seq, record, hash }) => {
      this.#statements.append.run(seq, record, hash)
      this.#appended = { count: seq + 1, hash }
    },
    forget: (seconds) => this.#statements.forget.all(seconds).map((row) => bytesOf(row['requester'])),
  }
}
