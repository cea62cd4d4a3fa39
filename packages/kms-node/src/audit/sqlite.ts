import type { SQLOutputValue } from 'node:sqlite'
import { auditError, brokenLog } from './errors.ts'

/** A column of bytes, copied. @throws KmsError `audit-broken` */
export function bytesOf(value: SQLOutputValue | undefined): Uint8Array {
  if (value instanceof Uint8Array) return Uint8Array.from(value)
  throw brokenLog('damaged', 'a column of audit.db holds something else than bytes')
}

/** A column of counts. @throws KmsError `audit-broken` */
export function numberOf(value: SQLOutputValue | undefined): number {
  if (typeof value === 'number' && value >= 0) return value
  throw brokenLog('damaged', 'a column of audit.db holds something else than a count')
}

/** SQLite's primary result codes. */
const FULL = 13
const BROKEN: ReadonlySet<number> = new Set([1, 11, 26])

/** Every error of SQLite and the file system as ours; ours as they are. @throws KmsError `disk-full`, `audit-io`, `audit-broken` */
export function typed<T>(run: () => T): T {
  try {
    return run()
  } catch (cause) {
    if (!(cause instanceof Error) || !('code' in cause) || cause.code === 'audit-broken') throw cause
    const result = 'errcode' in cause && typeof cause.errcode === 'number' ? cause.errcode & 0xff : undefined
    if (result === FULL || cause.code === 'ENOSPC' || cause.code === 'EDQUOT')
      throw auditError('disk-full', 'the disk is full: the audit log cannot be written', { cause, retryable: true })
    if (result !== undefined && BROKEN.has(result))
      throw brokenLog('damaged', 'audit.db is damaged, or not an audit log', { cause })
    throw auditError('audit-io', 'audit.db cannot be read or written', { cause, retryable: true })
  }
}
