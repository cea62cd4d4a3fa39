import type { Secret } from '../primitives/secret.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import type { Contribution, RepairId, RepairRequest } from './messages.ts'
import type { SignedBody } from './signed-body.ts'
import type { RepairEnd, RepairParams } from './types.ts'

/** An M1 that passed every public check. */
export interface KnownContribution {
  readonly signed: SignedBody
  readonly contribution: Contribution
}

/** What a helper has handed out and must be able to hand out again, byte-identical (protocol 5: M1 and d_ik). */
export interface OwnParts {
  readonly own: SignedBody
  /** d_ik by helper k, this one included. */
  readonly parts: ReadonlyMap<ParticipantIndex, Secret>
}

export type HelperPhase =
  /** For the operator. */
  | { readonly name: 'waiting' }
  | { readonly name: 'seeding' }
  | ({ readonly name: 'collecting' } & OwnParts)
  | ({ readonly name: 'summed'; readonly sum: Secret } & OwnParts)
  /** Only public bytes are left: the rid is spent. */
  | { readonly name: 'done'; readonly reason: RepairEnd; readonly own?: SignedBody }

/** Opaque outside the reducer. A step works on its own copy. */
export interface HelperState {
  readonly params: RepairParams
  readonly signedRequest: SignedBody
  readonly request: RepairRequest
  readonly rid: RepairId
  phase: HelperPhase
  /** M1s by helper, the own one included once it exists. */
  readonly contributions: Map<ParticipantIndex, KnownContribution>
  /** d_ik that open their D_ik, and such as wait for their M1. */
  readonly checked: Map<ParticipantIndex, Secret>
  readonly pending: Map<ParticipantIndex, Secret>
  readonly disputed: Set<ParticipantIndex>
  /** Helpers with a proven fault in this repair. */
  readonly faulty: Set<ParticipantIndex>
  retransmits: number
  progress: string
}

export function createHelperState(
  params: RepairParams,
  signedRequest: SignedBody,
  request: RepairRequest,
  rid: RepairId,
): HelperState {
  return {
    params,
    signedRequest,
    request,
    rid,
    phase: { name: 'waiting' },
    contributions: new Map(),
    checked: new Map(),
    pending: new Map(),
    disputed: new Set(),
    faulty: new Set(),
    retransmits: 0,
    progress: '',
  }
}

/** A copy that a step may change; what the maps hold is immutable and shared. */
export const copyHelperState = (state: HelperState): HelperState => ({
  ...state,
  contributions: new Map(state.contributions),
  checked: new Map(state.checked),
  pending: new Map(state.pending),
  disputed: new Set(state.disputed),
  faulty: new Set(state.faulty),
})

/** Destroys what other helpers sent. */
export function destroyReceived(state: HelperState): void {
  for (const secrets of [state.checked, state.pending]) {
    for (const secret of secrets.values()) secret.destroy()
    secrets.clear()
  }
}

/** Destroys every secret of this repair. */
export function destroyHelperSecrets(state: HelperState): void {
  destroyReceived(state)
  const { phase } = state
  if ('parts' in phase) for (const part of phase.parts.values()) part.destroy()
  if ('sum' in phase) phase.sum.destroy()
}
