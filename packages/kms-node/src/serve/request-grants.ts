import {
  attempt,
  type Curve,
  decodeGrant,
  type DelegationRequest,
  EVIDENCE_GRANT,
  type Grant,
  type RequestItem,
} from '@tkms/dkg'

/** The grants of a request, decoded once; bytes that are no grant of ours are left out, for they allow nothing. */
export interface RequestGrants {
  of(item: RequestItem): readonly Grant[]
}

/** A v1 item carries its own grant; those among the evidence are for the v2 items (interfaces 2). */
export function createRequestGrants(curve: Curve, request: DelegationRequest): RequestGrants {
  const decode = (bytes: Uint8Array): readonly Grant[] => {
    const grant = attempt(() => decodeGrant(curve, bytes))
    return grant === undefined ? [] : [grant]
  }
  let shared: readonly Grant[] | undefined
  return {
    of(item) {
      if (item.version === 1) return decode(item.grant)
      shared ??= request.evidence.flatMap(({ kind, bytes }) => (kind === EVIDENCE_GRANT ? decode(bytes) : []))
      return shared
    },
  }
}
