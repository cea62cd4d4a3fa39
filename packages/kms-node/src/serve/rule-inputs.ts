import { type Curve, EVIDENCE_SESSION, type RequestItem } from '@tkms/dkg'
import type { DecisionInput } from '../policy/decision.ts'
import type { Admitted } from './admission.ts'
import { createRequestGrants } from './request-grants.ts'

/** What rules are told of a call, beside what it asks for. */
export interface RuleCall {
  /** Where it came from, for quotas: an IPv4 address, or the 64-bit network of an IPv6 one (`callerOf`). */
  readonly address: string
  /** SHA-256 of the bearer token that came with it, 32 bytes. The token itself goes no further than the transport. */
  readonly tokenHash?: Uint8Array
  /** Fires when the caller no longer wants the answer. */
  readonly signal: AbortSignal
}

/** What rules are told of each item of an admitted request. */
export function createRuleInputs(
  curve: Curve,
  { request, spkiHash, requester: { principal, requesterId } }: Admitted,
  context: { readonly call: RuleCall; readonly nowSeconds: number; readonly dryRun: boolean },
): (item: RequestItem, unlessReleased?: DecisionInput['unlessReleased']) => DecisionInput {
  const { call, nowSeconds, dryRun } = context
  const grants = createRequestGrants(curve, request)
  const shared: Omit<DecisionInput, 'item' | 'grants' | 'unlessReleased'> = {
    request,
    principal,
    requesterId,
    recipientSpkiHash: spkiHash,
    evidence: request.evidence.filter(({ kind }) => kind !== EVIDENCE_SESSION),
    remote: call.address,
    tokenHash: call.tokenHash,
    nowSeconds,
    dryRun,
    signal: call.signal,
  }
  return (item, unlessReleased = () => undefined) => ({ ...shared, item, grants: grants.of(item), unlessReleased })
}
