import {
  type AuditItem,
  type AuditRelease,
  bytesKey,
  compareAuditGrants,
  itemPoint,
  type RequestItem,
  type VerifiedKey,
} from '@tkms/dkg'
import type { Decision, GrantName } from '../policy/decision.ts'
import type { Refusal } from './refusal.ts'
import type { HashedRequest } from './requester.ts'

/** Of an item: what said yes, or why it is refused. */
export type ItemVerdict = Refusal | Extract<Decision, { allowed: true }>

/**
 * What the audit log says of a request that is about to be answered.
 * @param verdicts of each item, in their order
 */
export function releaseRecord(
  {
    request,
    hash,
    spkiHash,
    requesterId,
    key,
  }: HashedRequest & { readonly requesterId: string; readonly key: VerifiedKey },
  verdicts: readonly ItemVerdict[],
): AuditRelease {
  return {
    kind: 'release',
    keyId: key.keyId,
    sharingId: key.sharingId,
    epoch: key.epoch,
    requestHash: hash,
    requester: request.publicKeyId,
    ...(requesterId !== request.publicKeyId && { principal: requesterId }),
    recipientSpkiHash: spkiHash,
    items: request.items.map((item, at) => ({ ...nameOf(item), outcome: outcomeOf(verdicts[at]) })),
    rules: rulesOf(verdicts).toSorted(),
    grants: grantsOf(verdicts),
  }
}

const nameOf = (item: RequestItem): Omit<AuditItem, 'outcome'> => {
  const { chainId, handle } = item.version === 1 ? item : item.header.label
  return { chainId, handle, K: itemPoint(item) }
}

/** Rules that said yes, each once. */
export const rulesOf = (verdicts: readonly ItemVerdict[]): readonly string[] => [
  ...new Set(verdicts.flatMap((verdict) => ('kind' in verdict ? [] : verdict.rules))),
]

/** Ascending, each once. */
function grantsOf(verdicts: readonly ItemVerdict[]): readonly GrantName[] {
  const grants = verdicts.flatMap((verdict) => ('kind' in verdict ? [] : (verdict.grants ?? [])))
  const named = new Map(grants.map((grant) => [`${grant.issuer}/${bytesKey(grant.grantId)}`, grant]))
  return [...named.values()].toSorted(compareAuditGrants)
}

const outcomeOf = (verdict: ItemVerdict | undefined): AuditItem['outcome'] => {
  if (verdict === undefined) return 'internal'
  return 'kind' in verdict ? verdict.code : 'released'
}
