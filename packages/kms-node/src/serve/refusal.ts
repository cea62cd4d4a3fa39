import type { RefusalCode } from '@tkms/dkg'

/** Why a request, or one item of it, gets no partial. */
export interface Refusal {
  readonly kind: 'refusal'
  readonly code: RefusalCode
  /** With `clock-skew`: this node's clock is ahead (positive) or behind (negative). */
  readonly skewSeconds?: number
  /** For this node's own log: fixed words, never a secret, never sent. */
  readonly reason?: string
}

export const refuse = (code: RefusalCode, reason?: string): Refusal =>
  reason === undefined ? { kind: 'refusal', code } : { kind: 'refusal', code, reason }

/** Clocks of requesters, issuers and nodes may differ by this much, either way (interfaces 2). */
export const LEEWAY_SECONDS = 60
