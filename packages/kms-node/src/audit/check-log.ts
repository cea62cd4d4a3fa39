import { attempt, auditHash, decodeAuditHead, decodeAuditRecord, equalBytes, type SignedAuditHead } from '@tkms/dkg'
import type { AuditDatabase, LogPoint, StoredRecord } from './database.ts'
import { brokenLog } from './errors.ts'

const PAGE = 256

/**
 * The point after a record that must follow this one.
 * @throws KmsError `audit-broken` with its number
 */
export function followRecord(before: LogPoint, { seq, record, hash }: StoredRecord): LogPoint {
  const at = before.count
  const decoded = attempt(() => decodeAuditRecord(record))
  if (decoded === undefined) throw brokenLog('unreadable', `record ${at} cannot be read`, { at })
  if (seq !== at || decoded.seq !== at)
    throw brokenLog('chain', `record ${at} is not in its place: one was removed, moved or put in`, { at })
  const expected = auditHash(before.hash, record)
  if (!equalBytes(expected, hash))
    throw brokenLog('chain', `record ${at} does not follow from those before it: it was changed, moved or put in`, {
      at,
    })
  return { count: at + 1, hash: expected }
}

/**
 * Whether the log goes on from what the sealed store knows of it: the anchored record is there and is the one that was anchored, and
 * every record after it follows and was written here. What is older is for `audit verify`.
 * @throws KmsError `audit-broken`
 */
export function checkFromAnchor(database: AuditDatabase, anchored: SignedAuditHead): void {
  const { count, hash } = decodeAuditHead(anchored.head)
  const { base } = database
  const tail = database.tail()
  if (tail.count < count)
    throw brokenLog(
      'truncated',
      `audit.db ends after ${tail.count} records, and ${count} were written: it was cut, replaced, or put back from a copy`,
      { at: tail.count },
    )
  const point = pointAfter(database, count)
  if (point === undefined || !equalBytes(point.hash, hash))
    throw brokenLog('different', `audit.db is not the log that was written here: its first ${count} records differ`, {
      at: Math.max(base.count, count - 1),
    })
  // The anchored record itself: its hash is known, its bytes may have been changed.
  const before = count > base.count ? pointAfter(database, count - 1) : undefined
  let reached = before ?? point
  for (;;) {
    const page = database.page(reached.count, PAGE)
    for (const stored of page) reached = followRecord(reached, stored)
    if (page.length === 0) break
  }
  requireOwnTail(database, count)
}

/**
 * Whether this node wrote the newest record, and so all that it is chained to, and where the log begins: whoever has only the file can
 * append records that follow, but not the tail's MAC.
 * @param at the first record that somebody else may have put in
 * @throws KmsError `audit-broken`
 */
export function requireOwnTail(database: AuditDatabase, at: number): void {
  if (!database.isOwnTail())
    throw brokenLog(
      'tail',
      `audit.db was changed by somebody else: records from ${at} on were put in or taken out, or its first part was cut off`,
      { at },
    )
}

function pointAfter(database: AuditDatabase, count: number): LogPoint | undefined {
  if (count === database.base.count) return database.base
  const [last] = count > database.base.count ? database.page(count - 1, 1) : []
  return last?.seq === count - 1 ? { count, hash: last.hash } : undefined
}
