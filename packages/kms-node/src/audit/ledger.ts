import { type AuditEntry, auditHash, type AuditRecord, encodeAuditRecord } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { Clock } from '../ports.ts'
import type { ReleaseEntry, ReleaseLedger, ReleaseOutcome } from '../serve/release-ledger.ts'
import type { AuditDatabase, AuditWriter, LogPoint } from './database.ts'
import { auditError } from './errors.ts'
import { createRefusalWindows } from './refusal-windows.ts'
import { createReplayCounts, replayId, countedFor, requesterTag } from './replays.ts'

/** Refusals are written down as often as this. */
export const REFUSAL_WINDOW_MS = 60_000
/** After a write that failed it is tried again as often as this. */
const RETRY_MS = 1_000
/** Expired requests are remembered this much longer than the leeway: the clock may be set back a little. */
const FORGET_AFTER_SECONDS = 120

export interface LedgerOptions {
  readonly database: AuditDatabase
  readonly clock: Clock
  readonly limits: { readonly replayEntries: number; readonly replayEntriesPerRequester: number }
  /** Whether no release may be recorded for a reason of its own: the anchor cannot be written. */
  readonly isBlocked: () => boolean
  /** The log can be written again (undefined), or not: `disk-full`, `audit-io`, `audit-broken`, or `unexpected`. */
  readonly onProblem: (code: string | undefined, cause?: unknown) => void
  /** After every commit. */
  readonly onAppended: () => void
}

/** Writes the log: releases in groups, one commit for all that came meanwhile; everything else beside them, in order. */
export interface Ledger extends ReleaseLedger {
  tail(): LogPoint
  /** The code of what keeps it from writing. */
  readonly problem: string | undefined
  /** Is written as soon as it can be, before everything that comes after it. */
  note(entry: AuditEntry): void
  /** Is on the disk when it returns, or not at all. @throws KmsError `disk-full`, `audit-io` */
  noteNow(entry: AuditEntry): void
  /** Writes what is left. @throws KmsError `disk-full`, `audit-io` */
  close(): void
}

interface Waiting {
  readonly entry: ReleaseEntry
  readonly resolve: (outcome: ReleaseOutcome) => void
}

export function createLedger(options: LedgerOptions): Ledger {
  const { database, clock } = options
  const { replayEntries: total, replayEntriesPerRequester: perRequester } = options.limits
  const counts = createReplayCounts(database.replayCounts(), { total, perRequester })
  const windows = createRefusalWindows()
  let tail = database.tail()
  /** Nothing is left that expired before this second. */
  let forgottenBefore: number | undefined
  let waiting: Waiting[] = []
  let notes: { readonly time: number; readonly entry: AuditEntry }[] = []
  let problem: string | undefined
  let scheduled: NodeJS.Immediate | undefined
  let retry: NodeJS.Timeout | undefined
  let windowEnd: NodeJS.Timeout | undefined
  let closed = false

  const nowSeconds = (): number => Math.floor(clock.nowMs() / 1000)

  /** One transaction; the state in memory follows only once it is on disk. @throws KmsError */
  const write = (group: readonly Waiting[]): readonly ReleaseOutcome[] => {
    const undo: (() => void)[] = []
    try {
      return database.commit((writer) => writeGroup(writer, group, undo))
    } catch (cause) {
      for (const step of undo.toReversed()) step()
      throw cause
    }
  }

  const writeGroup = (writer: AuditWriter, group: readonly Waiting[], undo: (() => void)[]): ReleaseOutcome[] => {
    const before = tail
    undo.push(() => {
      tail = before
    })
    const append = (time: number, entry: AuditEntry): void => {
      const { count: seq, hash: previous } = tail
      const record = encodeAuditRecord({ seq, time, ...entry } satisfies AuditRecord)
      const hash = auditHash(previous, record)
      writer.append({ seq, record, hash })
      tail = { count: seq + 1, hash }
    }
    const over = nowSeconds() - FORGET_AFTER_SECONDS
    if (over !== forgottenBefore) {
      const forgotten = writer.forget(over)
      // What is left of that second is forgotten with the next commits.
      if (forgotten.length === 0) forgottenBefore = over
      for (const requester of forgotten) {
        counts.giveBack(requester)
        undo.push(() => void counts.take(requester))
      }
    }
    for (const { time, entry } of notes) append(time, entry)
    return group.map(({ entry }) => {
      const { release, requestId, expiresAt } = entry
      const id = replayId(release.requester, requestId)
      const refusal = (outcome: 'outdated' | 'full'): ReleaseOutcome => (database.hasReplay(id) ? 'replayed' : outcome)
      if (!entry.holds()) return refusal('outdated')
      const requester = requesterTag(countedFor(entry))
      if (!counts.take(requester)) return refusal('full')
      undo.push(() => counts.giveBack(requester))
      if (!writer.remember({ id, requester, expires: expiresAt })) {
        undo.pop()?.()
        return 'replayed'
      }
      append(nowSeconds(), release)
      return 'recorded'
    })
  }

  const succeed = (): void => {
    if (problem !== undefined) options.onProblem(undefined)
    problem = undefined
  }

  const fail = (cause: unknown): void => {
    const code = isKmsError(cause) ? cause.code : 'unexpected'
    if (problem !== code) options.onProblem(code, cause)
    problem = code
    if (!closed) retry ??= setTimeout(tryAgain, RETRY_MS).unref()
  }

  /** Everything that waits. @throws KmsError: then nothing of it is on disk, and what is no release goes on waiting */
  const flushOrThrow = (): void => {
    const blocked = options.isBlocked()
    if (blocked) for (const { resolve } of waiting) resolve('unavailable')
    const group = blocked ? [] : waiting
    waiting = []
    if (group.length === 0 && notes.length === 0) return
    const countBefore = tail.count
    try {
      const outcomes = write(group)
      notes = []
      succeed()
      for (const [at, { resolve }] of group.entries()) resolve(outcomes[at] ?? 'unavailable')
    } catch (cause) {
      for (const { resolve } of group) resolve('unavailable')
      throw cause
    }
    if (tail.count > countBefore) options.onAppended()
  }

  const flush = (): void => {
    scheduled = undefined
    try {
      flushOrThrow()
    } catch (cause) {
      fail(cause)
    }
  }

  const tryAgain = (): void => {
    retry = undefined
    try {
      database.probe()
      flushOrThrow()
      succeed()
    } catch (cause) {
      fail(cause)
    }
  }

  const schedule = (): void => {
    scheduled ??= setImmediate(flush)
  }

  const endWindows = (): void => {
    windowEnd = undefined
    // While nothing can be written the windows go on: what waits stays bounded.
    if (notes.some(({ entry }) => entry.kind === 'refusals'))
      windowEnd = setTimeout(endWindows, REFUSAL_WINDOW_MS).unref()
    else for (const entry of windows.take()) note(entry)
  }

  const note = (entry: AuditEntry): void => {
    notes.push({ time: nowSeconds(), entry })
    schedule()
  }

  return {
    tail: () => tail,
    get problem() {
      return problem
    },
    seen: (requester, requestId) => database.hasReplay(replayId(requester, requestId)),
    record: (entry) =>
      new Promise((resolve) => {
        if (closed) return resolve('unavailable')
        waiting.push({ entry, resolve })
        schedule()
      }),
    refused(request) {
      if (closed) return
      windows.count(request, nowSeconds())
      windowEnd ??= setTimeout(endWindows, REFUSAL_WINDOW_MS).unref()
    },
    note,
    noteNow(entry) {
      if (closed) throw auditError('audit-io', 'the node stops', { retryable: true })
      const noted = { time: nowSeconds(), entry }
      notes.push(noted)
      try {
        flushOrThrow()
      } catch (cause) {
        notes = notes.filter((other) => other !== noted)
        fail(cause)
        throw cause
      }
    },
    close() {
      if (closed) return
      closed = true
      clearTimeout(retry)
      clearTimeout(windowEnd)
      clearImmediate(scheduled)
      for (const entry of windows.take()) notes.push({ time: nowSeconds(), entry })
      notes.push({ time: nowSeconds(), entry: { kind: 'stop' } })
      try {
        flushOrThrow()
      } finally {
        database.close()
      }
    },
  }
}
