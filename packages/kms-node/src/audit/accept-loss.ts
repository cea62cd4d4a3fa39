import { existsSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { auditGenesis, auditHash, decodeAuditHead, encodeAuditRecord, KmsError } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import { readAnchor } from './anchor.ts'
import { createAuditDatabase } from './database.ts'
import { auditError } from './errors.ts'
import { readOrMakeLogKey } from './log-key.ts'
import { anchorAt, type AuditPorts, auditPath, openOrMake } from './open-log.ts'

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
  // The write-ahead log goes first, and also where it is alone: SQLite would play it into the new log.
  const lost = ['-wal', ''].filter((suffix) => existsSync(path + suffix))
  const aside = lost.length === 0 ? undefined : `${path}.lost-${time}`
  for (const suffix of lost) await rename(path + suffix, `${path}.lost-${time}${suffix}`)
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
