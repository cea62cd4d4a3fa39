import { sha256 } from '@noble/hashes/sha2.js'
import {
  type AuditItem,
  type AuditRelease,
  type DelegationRequest,
  itemPoint,
  type RequestItem,
  type VerifiedKey,
} from '@tkms/dkg'
import type { Refusal } from './refusal.ts'

/**
 * What the audit log says of a request that is about to be answered.
 * @param verdicts of each item: the rules that said yes, or why it is refused
 */
export function releaseRecord(
  {
    request,
    requesterId,
    key,
  }: { readonly request: DelegationRequest; readonly requesterId: string; readonly key: VerifiedKey },
  requestHash: Uint8Array,
  verdicts: readonly (Refusal | readonly string[])[],
): AuditRelease {
  const rules = new Set(verdicts.flatMap((verdict) => ('kind' in verdict ? [] : verdict)))
  return {
    kind: 'release',
    keyId: key.keyId,
    sharingId: key.sharingId,
    epoch: key.epoch,
    requestHash,
    requester: request.publicKeyId,
    ...(requesterId !== request.publicKeyId && { principal: requesterId }),
    recipientSpkiHash: sha256(request.spki),
    items: request.items.map((item, at) => ({ ...nameOf(item), outcome: outcomeOf(verdicts[at]) })),
    rules: [...rules].toSorted(),
  }
}

const nameOf = (item: RequestItem): Omit<AuditItem, 'outcome'> => {
  const { chainId, handle } = item.version === 1 ? item : item.header.label
  return { chainId, handle, K: itemPoint(item) }
}

const outcomeOf = (verdict: Refusal | readonly string[] | undefined): AuditItem['outcome'] => {
  if (verdict === undefined) return 'internal'
  return 'kind' in verdict ? verdict.code : 'released'
}
