import { existsSync } from 'node:fs'
import { join } from 'node:path'
import {
  auditGenesis,
  type AuditOwner,
  decodeAuditHead,
  equalBytes,
  KmsError,
  type SignedAuditHead,
  type SignMessage,
} from '@tkms/dkg'
import { COMMAND } from '../command.ts'
import { isKmsError } from '../errors.ts'
import type { Clock, RecordStore } from '../ports.ts'
import { headAt, readAnchor, writeAnchor } from './anchor.ts'
import { checkFromAnchor, requireOwnTail } from './check-log.ts'
import { type AuditDatabase, createAuditDatabase, type LogPoint, openAuditDatabase } from './database.ts'
import { brokenLog } from './errors.ts'
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

export interface OpenedLog {
  readonly database: AuditDatabase
  readonly anchored: SignedAuditHead
}

/** The log, checked against the anchor, made on the first start. @throws KmsError `audit-broken` with the remedy, `audit-io`, `disk-full`, errors of the store */
export async function openChecked(ports: AuditPorts): Promise<OpenedLog> {
  try {
    return await openOrMake(ports)
  } catch (cause) {
    if (!isKmsError(cause) || cause.code !== 'audit-broken') throw cause
    const anchored = await readAnchor(ports.store)
    const count = anchored === undefined ? 0 : decodeAuditHead(anchored.head).count
    throw new KmsError(
      cause.code,
      `${cause.message}. The node does not serve with it. Put the newest audit.db of this node back, with the audit.db-wal that belongs to it or without one, and start again; find out who changed it. ` +
        `Only if it is lost for good: ${COMMAND} audit accept-loss --confirm ${count} --data-dir ${ports.dataDir}`,
      { cause, data: { ...cause.data, anchored: count } },
    )
  }
}

/** The same without the remedy. @throws KmsError */
export async function openOrMake(ports: AuditPorts): Promise<OpenedLog> {
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

/** Of a node that has an anchor. @throws KmsError `audit-broken` */
export async function keyOf(store: RecordStore): Promise<LogKey> {
  const key = await readLogKey(store)
  if (key === undefined) throw brokenLog('tail', 'the key that the end of audit.db is checked with is missing')
  return key
}

/** @throws KmsError `audit-broken`, `audit-io` */
export function openExisting(dataDir: string, key: LogKey): AuditDatabase {
  const path = auditPath(dataDir)
  if (!existsSync(path)) throw brokenLog('missing', 'audit.db is missing, and this node wrote one')
  return openAuditDatabase(path, key)
}

/** Signs the head at this point and keeps it. @throws errors of the store */
export async function anchorAt(ports: AuditPorts, point: LogPoint): Promise<SignedAuditHead> {
  const head = headAt(ports, point)
  await writeAnchor(ports.store, head)
  return head
}
