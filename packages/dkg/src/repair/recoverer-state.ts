import type { Secret } from '../primitives/secret.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import type { Dispute } from './choose-helpers.ts'
import type { KnownContribution } from './helper-state.ts'
import type { ContributionRef, RepairId, RepairRefusal, RepairRequest } from './messages.ts'
import type { SignedBody } from './signed-body.ts'
import type { RepairEnd, RepairParams } from './types.ts'

/** Why a member is not asked. `faulty` is for good, `replaced` until the operator says `retry`. */
export type Exclusion = 'faulty' | 'replaced'

/** sigma_k as it came; checked once every M1 is there. */
export interface ReceivedSum {
  readonly sum: Secret
  readonly refs: readonly ContributionRef[]
}

/** One try with one set of helpers. */
export interface Attempt {
  readonly signed: SignedBody
  readonly request: RepairRequest
  readonly rid: RepairId
  readonly contributions: Map<ParticipantIndex, KnownContribution>
  readonly pending: Map<ParticipantIndex, ReceivedSum>
  /** sigma_k that open sum_i D_ik. */
  readonly sums: Map<ParticipantIndex, Secret>
  readonly refusals: Map<ParticipantIndex, RepairRefusal>
  /** `i/k`: k named another M1 of i than ours once already. */
  readonly differing: Set<string>
}

export type RecovererPhase =
  /** Waiting for the nonce of the next try. */
  | { readonly name: 'seeding' }
  | { readonly name: 'collecting' }
  /** Too few members are left to ask. */
  | { readonly name: 'stuck' }
  | { readonly name: 'complete'; readonly share: Secret }
  | { readonly name: 'done'; readonly reason: RepairEnd }

/** Opaque outside the reducer. A step works on its own copy. */
export interface RecovererState {
  readonly params: RepairParams
  /** Counts the tries, 0 first. */
  attempt: number
  phase: RecovererPhase
  current: Attempt | undefined
  readonly excluded: Map<ParticipantIndex, Exclusion>
  disputes: readonly Dispute[]
  retransmits: number
  progress: string
}

export const createRecovererState = (params: RepairParams): RecovererState => ({
  params,
  attempt: 0,
  phase: { name: 'seeding' },
  current: undefined,
  excluded: new Map(),
  disputes: [],
  retransmits: 0,
  progress: '',
})

/** The rid of the try under way, so that a driver finds the reducer of a message. */
export const currentRepairId = (state: RecovererState): RepairId | undefined => state.current?.rid

export const createAttempt = (signed: SignedBody, request: RepairRequest, rid: RepairId): Attempt => ({
  signed,
  request,
  rid,
  contributions: new Map(),
  pending: new Map(),
  sums: new Map(),
  refusals: new Map(),
  differing: new Set(),
})

const copyAttempt = (attempt: Attempt): Attempt => ({
  ...attempt,
  contributions: new Map(attempt.contributions),
  pending: new Map(attempt.pending),
  sums: new Map(attempt.sums),
  refusals: new Map(attempt.refusals),
  differing: new Set(attempt.differing),
})

/** A copy that a step may change; what the maps hold is immutable and shared. */
export const copyRecovererState = (state: RecovererState): RecovererState => ({
  ...state,
  current: state.current && copyAttempt(state.current),
  excluded: new Map(state.excluded),
})

/** Destroys the sums of a try. */
export function destroySums(attempt: Attempt | undefined): void {
  for (const { sum } of attempt?.pending.values() ?? []) sum.destroy()
  for (const sum of attempt?.sums.values() ?? []) sum.destroy()
  attempt?.pending.clear()
  attempt?.sums.clear()
}
