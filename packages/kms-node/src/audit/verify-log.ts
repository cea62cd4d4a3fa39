import {
  type AuditHead,
  type AuditOwner,
  attempt,
  auditGenesis,
  decodeAuditHead,
  equalBytes,
  KmsError,
  type SignedAuditHead,
  verifyAuditHead,
  verifyEd25519,
} from '@tkms/dkg'
import { followRecord } from './check-log.ts'
import type { LogPoint, StoredRecord } from './database.ts'
import { brokenLog } from './errors.ts'

/** A head that a log must lead to, and where it comes from, for messages. */
export interface ClaimedHead {
  /** "the head in FILE". */
  readonly what: string
  readonly signed: SignedAuditHead
}

export interface VerifiedLog {
  /** Records that were checked: from `from` up to and without `count`. */
  readonly from: number
  readonly count: number
  readonly hash: Uint8Array
}

/**
 * Checks every record from `base` on, the signatures of the heads, and that the log leads to each of them.
 * @throws KmsError `audit-broken` with the first wrong record; `audit-head-too-old` for a head from before the first record that is here
 */
export async function verifyLog(
  log: { readonly owner: AuditOwner; readonly base: LogPoint; readonly heads: readonly ClaimedHead[] },
  records: AsyncIterable<StoredRecord>,
): Promise<VerifiedLog> {
  const { owner, base } = log
  const claims = log.heads.map((claimed) => ({ ...claimed, head: verifiedHead(owner, claimed) }))
  for (const { what, head } of claims)
    if (head.count < base.count)
      throw new KmsError(
        'audit-head-too-old',
        `${what} is of record ${head.count}, and what is here begins at ${base.count}: name the archives of what came before, in order`,
        {
          data: { count: head.count, from: base.count },
        },
      )
  if (base.count === 0 && !equalBytes(base.hash, auditGenesis(owner)))
    throw brokenLog('chain', 'the log does not begin as one of this node does', { at: 0 })
  const compare = (point: LogPoint): void => {
    for (const { what, head } of claims)
      if (head.count === point.count && !equalBytes(head.hash, point.hash))
        throw brokenLog('different', `the log up to record ${point.count - 1} is not the one of ${what}`, {
          at: Math.max(point.count - 1, 0),
        })
  }
  let point = base
  compare(point)
  for await (const stored of records) {
    point = followRecord(point, stored)
    compare(point)
  }
  for (const { what, head } of claims)
    if (head.count > point.count)
      throw brokenLog(
        'truncated',
        `the log ends after ${point.count} records, and ${what} says that there were ${head.count}`,
        {
          at: point.count,
        },
      )
  return { from: base.count, count: point.count, hash: point.hash }
}

function verifiedHead(owner: AuditOwner, { what, signed }: ClaimedHead): AuditHead {
  const head = attempt(() => decodeAuditHead(signed.head))
  if (head === undefined || !equalBytes(head.clusterId, owner.clusterId) || head.index !== owner.index)
    throw brokenLog('signature', `${what} is not one of the log of node ${owner.index} of this cluster`)
  if (!verifyAuditHead(verifyEd25519, owner.publicKey, signed))
    throw brokenLog('signature', `${what} is not signed by node ${owner.index}`)
  return head
}
