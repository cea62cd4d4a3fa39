import type { ParticipantIndex } from '../primitives/types.ts'

/** Kinds of protocol 7. */
export type FaultKind = 'E1' | 'E2' | 'E3' | 'E4' | 'E5' | 'E6' | 'E7'

/** A peer's misbehaviour, as a value. */
export interface Fault {
  readonly culprit: ParticipantIndex
  readonly kind: FaultKind
  readonly certainty: 'proven' | 'alleged'
  /** One sentence of our own for the operator. */
  readonly summary: string
  /** Self-contained bytes that anyone can verify offline; empty when only alleged. */
  readonly evidence: Uint8Array
}
