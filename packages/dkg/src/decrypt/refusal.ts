/**
 * Why a node refuses, as it goes on the wire: the place in this list + 1 is the Status number of `tkms/v1/delegate.proto` and
 * the status byte of a batch item (0 there means "partial follows").
 */
export const REFUSAL_CODES = [
  'malformed',
  'too-large',
  'busy',
  'wrong-cluster',
  'unknown-key',
  'wrong-purpose',
  'wrong-sharing',
  'bad-point',
  'clock-skew',
  'bad-signature',
  'not-allowed',
  'weak-rsa-key',
  'bad-header-proof',
  'cancelled',
  'internal',
  'replayed',
  'not-ready',
  'superseded',
  'no-share',
  'destroyed',
  'bad-session',
  'audit-unavailable',
  'policy-unavailable',
] as const

export type RefusalCode = (typeof REFUSAL_CODES)[number]

/** The Status number of a code, 1..23. */
export const refusalStatus = (code: RefusalCode): number => REFUSAL_CODES.indexOf(code) + 1

/** The code of a Status number; undefined for a number that stands for none. */
export const refusalCode = (status: number): RefusalCode | undefined => REFUSAL_CODES[status - 1]
