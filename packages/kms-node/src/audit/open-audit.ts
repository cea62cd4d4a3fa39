import { setImmediate } from 'node:timers/promises'
import { type AuditEntry, decodeAuditHead, equalBytes, type SignedAuditHead } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { Log } from '../ops/log.ts'
import type { ReleaseLedger } from '../serve/release-ledger.ts'
import { createAnchor, headAt, readAnchor } from './anchor.ts'
import { requireOwnTail } from './check-log.ts'
import type { LogPoint, StoredRecord } from './database.ts'
import { auditError, brokenLog } from './errors.ts'
import { createLedger } from './ledger.ts'
import { type AuditPorts, keyOf, openChecked, openExisting } from './open-log.ts'

/** Removed with one commit, and with one call. */
const CUT_RECORDS = 256
const CUT_RECORDS_PER_CALL = 64 * CUT_RECORDS

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
  /**
   * Somebody has the records before `end`: removes some of them, and notes that once. Called until the log begins there.
   * @returns where the log begins now
   * @throws KmsError `bad-range` when this log has no such point, `audit-io`, `disk-full`, errors of the store
   */
  archive(end: LogPoint): Promise<LogPoint>
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
  let archivedTo: number | undefined
  let stopped = false
  const archive = async (end: LogPoint): Promise<LogPoint> => {
    if (end.count <= database.base.count) return database.base
    const [last] = database.page(end.count - 1, 1)
    if (last === undefined || !equalBytes(last.hash, end.hash))
      throw auditError('bad-range', `the log of this node has no such record ${end.count - 1}`, {
        data: { count: ledger.tail().count },
      })
    // What the anchor names must not be behind where the log begins.
    if (decodeAuditHead(anchor.anchored.head).count < end.count) await anchor.flush()
    if (archivedTo !== end.count) ledger.noteNow({ kind: 'archive', count: end.count })
    archivedTo = end.count
    for (let removed = 0; removed < CUT_RECORDS_PER_CALL && database.base.count < end.count; removed += CUT_RECORDS) {
      if (stopped) throw auditError('audit-io', 'the node stops: archive again when it runs', { retryable: true })
      database.cut(end.count, CUT_RECORDS)
      await setImmediate()
    }
    return database.base
  }
  return {
    ledger,
    archive,
    get base() {
      return database.base
    },
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
      stopped = true
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
