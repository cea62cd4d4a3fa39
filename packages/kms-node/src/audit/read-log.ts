import { setImmediate } from 'node:timers/promises'
import type { StoredRecord } from './database.ts'
import type { AuditReader } from './open-audit.ts'

const PAGE = 256

/** The records from `from` up to and without `to`, read a few at a time so that others get their turn. @throws KmsError `audit-io`, `audit-broken` */
export async function* readLog(log: Pick<AuditReader, 'page'>, from: number, to: number): AsyncGenerator<StoredRecord> {
  let next = from
  for (;;) {
    const page = log.page(next, PAGE)
    for (const stored of page) {
      if (stored.seq >= to) return
      yield stored
      next = stored.seq + 1
    }
    if (page.length === 0) return
    await setImmediate()
  }
}
