import type { ParticipantIndex } from '../primitives/types.ts'

/** Kinds of protocol 7; E6 and E7 concern serving and repair. */
export type FaultKind = 'E1' | 'E2' | 'E3' | 'E4' | 'E5' | 'E6' | 'E7'

export const FAULT_KINDS: readonly FaultKind[] = ['E1', 'E2', 'E3', 'E4', 'E5', 'E6', 'E7']

/** A peer's misbehaviour, as a value. */
export interface Fault {
  readonly culprit: ParticipantIndex
  readonly kind: FaultKind
  readonly certainty: 'proven' | 'alleged'
  /** One sentence of our own for the operator. */
  readonly summary: string
  /** Self-contained bytes that anyone can verify offline with `verifyEvidence`; empty when only alleged. */
  readonly evidence: Uint8Array
}

/** What `summary` says of each kind. */
export const FAULT_SUMMARIES: Readonly<Record<FaultKind, string>> = {
  E1: 'sent a malformed or inconsistent dealing',
  E2: 'signed two messages that exclude each other',
  E3: 'dealt a bad share to another node',
  E4: 'accused an honest dealer',
  E5: 'led with a message that contradicts itself',
  E6: 'answered with a wrong partial decryption',
  E7: 'contributed wrongly to a repair',
}
