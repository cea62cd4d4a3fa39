import type { DelegationRequest } from '@tkms/dkg'

const MAX_FORGERIES = 4

/**
 * Bounds what one request makes a rule verify in vain. An honest request holds no forged statement of an issuer; a hostile one has room
 * for hundreds, each a public-key operation or a question to a chain. Items that are decided at the same time are looked at all the same.
 */
export interface ForgeryLimit {
  /** Whether so many were found in this request that no further one is worth a look. */
  reached(request: DelegationRequest): boolean
  found(request: DelegationRequest): void
}

export function createForgeryLimit(): ForgeryLimit {
  const counts = new WeakMap<DelegationRequest, number>()
  return {
    reached: (request) => (counts.get(request) ?? 0) >= MAX_FORGERIES,
    found: (request) => void counts.set(request, (counts.get(request) ?? 0) + 1),
  }
}
