import { rename } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import {
  type AuditEntry,
  auditGenesis,
  auditHash,
  type AuditOwner,
  decodeAuditHead,
  encodeAuditRecord,
  equalBytes,
  KmsError,
  type SignedAuditHead,
  type SignMessage,
} from '@tkms/dkg'
import { COMMAND } from '../command.ts'
import { isKmsError } from '../errors.ts'
import type { Log } from '../ops/log.ts'
import type { Clock, RecordStore } from '../ports.ts'
import type { ReleaseLedger } from '../serve/release-ledger.ts'
import { createAnchor, headAt, readAnchor, writeAnchor } from './anchor.ts'
import { checkFromAnchor, requireOwnTail } from './check-log.ts'
import {
  type AuditDatabase,
  createAuditDatabase,
  type LogPoint,
  openAuditDatabase,
  type StoredRecord,
} from './database.ts'
import { auditError, brokenLog } from './errors.ts'
import { createLedger } from './ledger.ts'
import { type LogKey, readLogKey, readOrMakeLogKey } from './log-key.ts'

export const auditPath = (dataDir: string): string => join(dataDir, 'audit.db')

/** Whose log it is, and what keeps it. */
export interface AuditPorts {
  readonly dataDir: string
  readonly store: RecordStore
  readonly owner: AuditOwner
  readonly sign: SignMessage
  readonly clock: Clock
}

export interface AuditParams extends AuditPorts {
  readonly limits: { readonly replayEntries: number; readonly replayEntriesPerRequester: number }
  readonly log: Pick<Log, 'error' | 'info'>
  /** The log, or its anchor, cannot be written any more. */
  readonly onFailure?: () => void
}

/** A log that can be read while it is written, or of a node that does not run. */
export interface AuditReader {
  readonly base: LogPoint
  /** How many records there are, with those before `base`. */
  readonly count: number
  /** Signed now. @throws KmsError `audit-broken`: nothing is signed that this node did not write */
  head(): SignedAuditHead
  /** What the sealed store knows. */
  readonly anchored: SignedAuditHead
  /** Of the records from `from` on, in order, at most `limit`. @throws KmsError `audit-io`, `audit-broken` */
  page(from: number, limit: number): readonly StoredRecord[]
}

/** The audit log of a running node. */
export interface Audit extends AuditReader {
  readonly ledger: ReleaseLedger
  /** The code of what keeps it from recording releases: `disk-full`, `audit-io`, `audit-broken`, or of the store. */
  problem(): string | undefined
  /** Something else than a release happened. Written in order, as soon as it can be. */
  note(entry: AuditEntry): void
  /** This policy file decides from here on: its SHA-256. */
  readonly onPolicy: (fileHash: Uint8Array) => void
  /** @returns what ends it */
  subscribe(onAppended: () => void): () => void
  /** Writes what is left and its anchor. @throws KmsError */
  stop(): Promise<void>
}

/**
 * Opens this node's log, makes one on the first start, and checks it against the anchor.
 * @throws KmsError `audit-broken` with the remedy, `audit-io`, `disk-full`, errors of the store
 */
export async function openAudit(params: AuditParams): Promise<Audit> {
  const { log, store, owner, sign, clock } = params
  const { database, anchored } = await openChecked(params)
  const listeners = new Set<() => void>()
  let anchorProblem: string | undefined
  const ledger = createLedger({
    database,
    clock,
    limits: params.limits,
    isBlocked: () => anchor.isOverdue(),
    onProblem: (code, cause) => {
      if (code === undefined) log.info('audit log writes again')
      else {
        log.error({ cause }, 'audit log cannot be written: nothing is released')
        params.onFailure?.()
      }
    },
    onAppended: () => {
      anchor.onAppended()
      for (const listener of listeners) listener()
    },
  })
  const anchor = createAnchor(
    {
      store,
      owner,
      sign,
      clock,
      tail: () => ledger.tail(),
      onFailed: (cause) => {
        anchorProblem = isKmsError(cause) ? cause.code : 'unexpected'
        log.error({ cause }, 'audit log not anchored')
        params.onFailure?.()
      },
    },
    anchored,
  )
  if (ledger.tail().count > decodeAuditHead(anchored.head).count) anchor.onAppended()
  return {
    ledger,
    base: database.base,
    get count() {
      return ledger.tail().count
    },
    head: () => headAt(params, ledger.tail()),
    get anchored() {
      return anchor.anchored
    },
    page: (from, limit) => database.page(from, limit),
    problem: () => ledger.problem ?? (anchor.isOverdue() ? (anchorProblem ?? 'audit-io') : undefined),
    note: (entry) => ledger.note(entry),
    onPolicy: (fileHash) => ledger.note({ kind: 'policy', fileHash }),
    subscribe: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    stop: async () => {
      try {
        ledger.close()
      } finally {
        await anchor.close()
      }
    },
  }
}

/** Lends the log of a node that does not run, unchecked: whoever reads it checks it. @throws KmsError `audit-broken`, `audit-io` */
export async function withAuditReader<T>(ports: AuditPorts, use: (reader: AuditReader) => Promise<T>): Promise<T> {
  const anchored = await readAnchor(ports.store)
  if (anchored === undefined)
    throw brokenLog('no-anchor', 'this node has no audit log yet: it makes one when it first starts')
  const database = openExisting(ports.dataDir, await keyOf(ports.store))
  try {
    const { base } = database
    const tail = database.tail()
    const page = (from: number, limit: number): readonly StoredRecord[] => database.page(from, limit)
    const head = (): SignedAuditHead => {
      requireOwnTail(database, decodeAuditHead(anchored.head).count)
      return headAt(ports, tail)
    }
    return await use({ base, count: tail.count, anchored, head, page })
  } finally {
    database.close()
  }
}

interface Opened {
  readonly database: AuditDatabase
  readonly anchored: SignedAuditHead
}

async function openChecked(ports: AuditPorts): Promise<Opened> {
  try {
    return await openOrMake(ports)
  } catch (cause) {
    if (!isKmsError(cause) || cause.code !== 'audit-broken') throw cause
    const anchored = await readAnchor(ports.store)
    const count = anchored === undefined ? 0 : decodeAuditHead(anchored.head).count
    throw new KmsError(
      cause.code,
      `${cause.message}. The node does not serve with it. Put the newest audit.db of this node back and start again; find out who changed it. ` +
        `Only if it is lost for good: ${COMMAND} audit accept-loss --confirm ${count} --data-dir ${ports.dataDir}`,
      { cause, data: { ...cause.data, anchored: count } },
    )
  }
}

async function openOrMake(ports: AuditPorts): Promise<Opened> {
  const { store, owner, dataDir } = ports
  const path = auditPath(dataDir)
  const anchored = await readAnchor(store)
  if (anchored === undefined && !existsSync(path)) {
    const base = { count: 0, hash: auditGenesis(owner) }
    const key = await readOrMakeLogKey(store)
    return { database: createAuditDatabase(path, base, key), anchored: await anchorAt(ports, base) }
  }
  const database = openExisting(dataDir, anchored === undefined ? await readOrMakeLogKey(store) : await keyOf(store))
  try {
    if (anchored === undefined) {
      // A crash between the two first steps leaves an empty log without an anchor.
      const tail = database.tail()
      if (tail.count > 0) throw brokenLog('no-anchor', 'audit.db holds records that this node has no anchor of')
      requireOwnTail(database, 0)
      return { database, anchored: await anchorAt(ports, tail) }
    }
    const { clusterId, index } = decodeAuditHead(anchored.head)
    if (!equalBytes(clusterId, owner.clusterId) || index !== owner.index)
      throw brokenLog('different', 'the anchor is of the log of another node')
    checkFromAnchor(database, anchored)
    return { database, anchored }
  } catch (cause) {
    database.close()
    throw cause
  }
}

/** Of a node that has an anchor. */
async function keyOf(store: RecordStore): Promise<LogKey> {
  const key = await readLogKey(store)
  if (key === undefined) throw brokenLog('tail', 'the key that the end of audit.db is checked with is missing')
  return key
}

function openExisting(dataDir: string, key: LogKey): AuditDatabase {
  const path = auditPath(dataDir)
  if (!existsSync(path)) throw brokenLog('missing', 'audit.db is missing, and this node wrote one')
  return openAuditDatabase(path, key)
}

async function anchorAt(ports: AuditPorts, point: LogPoint): Promise<SignedAuditHead> {
  const head = headAt(ports, point)
  await writeAnchor(ports.store, head)
  return head
}

/**
 * The operator's word that the log is lost: what is there is put aside, and a new one goes on from the anchor, with a record that says
 * so. Whoever has a head or an export of the lost part still holds the node to it.
 * @param confirmed how many records the anchor names
 * @returns where the old file went, if there was one
 * @throws KmsError `audit-intact`, `confirm-mismatch`, `disk-full`, `audit-io`
 */
export async function acceptLoss(
  ports: AuditPorts,
  confirmed: number,
): Promise<{ readonly records: number; readonly aside?: string }> {
  const path = auditPath(ports.dataDir)
  const broken = await openOrMake(ports).then(
    ({ database }) => {
      database.close()
      return false
    },
    (cause: unknown) => {
      if (isKmsError(cause) && cause.code === 'audit-broken') return true
      throw cause
    },
  )
  if (!broken) throw auditError('audit-intact', 'the audit log goes on from its anchor: there is no loss to accept')
  const anchored = await readAnchor(ports.store)
  const known = anchored === undefined ? undefined : decodeAuditHead(anchored.head)
  const base = known ?? { count: 0, hash: auditGenesis(ports.owner) }
  if (confirmed !== base.count)
    throw new KmsError('confirm-mismatch', `the node wrote at least ${base.count} records: --confirm ${base.count}`, {
      data: { records: base.count },
    })
  const time = Math.floor(ports.clock.nowMs() / 1000)
  const aside = existsSync(path) ? `${path}.lost-${time}` : undefined
  if (aside !== undefined) {
    for (const suffix of ['', '-wal']) if (existsSync(path + suffix)) await rename(path + suffix, aside + suffix)
  }
  const key = await readOrMakeLogKey(ports.store)
  const database = createAuditDatabase(path, { count: base.count, hash: base.hash }, key)
  try {
    const record = encodeAuditRecord({ seq: base.count, time, kind: 'loss' })
    const hash = auditHash(base.hash, record)
    database.commit((writer) => writer.append({ seq: base.count, record, hash }))
    await anchorAt(ports, { count: base.count + 1, hash })
  } finally {
    database.close()
  }
  return { records: base.count, ...(aside !== undefined && { aside }) }
}
