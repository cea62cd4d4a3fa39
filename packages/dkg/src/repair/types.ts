import type { Fault } from '../ceremony/fault.ts'
import type { Secret } from '../primitives/secret.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import type { RepairRefusal, RepairSharing } from './messages.ts'

/**
 * Repair of one lost share as two pure, total reducers (protocol 9): the recoverer r, and a helper for one request.
 * Persist, fsync, then send, as in a ceremony; a driver that restarts inputs the last snapshot to `resume`.
 */

export interface RepairTimings {
  /** First pause before own messages are sent again; doubled each time up to `retransmitMaxMs`. */
  readonly retransmitMs: number
  readonly retransmitMaxMs: number
}

export const REPAIR_TIMINGS: RepairTimings = { retransmitMs: 2_000, retransmitMaxMs: 30_000 }

export interface RepairParams {
  /** From the verified certificate of the ACTIVE sharing, never from a message. */
  readonly sharing: RepairSharing
  readonly self: ParticipantIndex
  readonly timings: RepairTimings
}

/** Inputs of both reducers. `from` is the index of the Noise peer: private messages count from it alone. */
export type RepairInput =
  | { readonly type: 'message'; readonly from: ParticipantIndex; readonly message: Uint8Array }
  | { readonly type: 'timer' }
  | { readonly type: 'peer-connected'; readonly peer: ParticipantIndex }

export type HelperInput =
  | RepairInput
  /** The operator approved this request, or the node's policy did: rate limits and approval are the driver's. */
  | { readonly type: 'approve' }
  | { readonly type: 'deny'; readonly reason: RepairRefusal }
  /** The answer to `need-seed`: 32 fresh hedged bytes and a copy of the own share. The reducer destroys both. */
  | { readonly type: 'seed'; readonly seed: Secret; readonly share: Secret }
  /** The sharing is no longer ACTIVE, or the operator gives up: erase everything but the memory that this rid is spent. */
  | { readonly type: 'expire' }

export type RecovererInput =
  | RepairInput
  /** The answer to `need-nonce`: 32 fresh bytes, and the members that can be reached now, who are asked first. */
  | {
      readonly type: 'nonce'
      readonly attempt: number
      readonly nonce: Uint8Array
      readonly reachable: readonly ParticipantIndex[]
    }
  /** The operator replaces a helper that does not answer or does not approve. */
  | { readonly type: 'replace'; readonly helper: ParticipantIndex }
  /** The operator wants helpers that were replaced to be asked again. */
  | { readonly type: 'retry' }
  /** The driver could not perform the effects of the step before: a new try, with a rid of its own. The old rid is spent. */
  | { readonly type: 'begin-again' }
  /** The share of `complete` is durable in the key store, re-read and checked against Y_r. */
  | { readonly type: 'stored' }
  /** The operator gives up: the helpers are told, so that they erase their parts. */
  | { readonly type: 'expire' }

export type RepairPhase = 'waiting' | 'seeding' | 'collecting' | 'summed' | 'stuck' | 'complete' | 'done'

/** What the driver does, in this order; whatever follows a `persist` waits until that snapshot is durable. */
export type RepairEffect =
  | { readonly type: 'persist'; readonly snapshot: Secret }
  | { readonly type: 'need-seed' }
  | { readonly type: 'need-nonce'; readonly attempt: number }
  /** Bytes for a `repair` frame to this peer. */
  | { readonly type: 'send'; readonly to: ParticipantIndex; readonly message: Uint8Array }
  /** The same with a secret inside: only to this peer, only over Noise; the driver destroys it. */
  | { readonly type: 'send-secret'; readonly to: ParticipantIndex; readonly message: Secret }
  /** Replaces a running timer. */
  | { readonly type: 'start-timer'; readonly ms: number }
  | { readonly type: 'stop-timer' }
  | { readonly type: 'fault'; readonly fault: Fault }
  /** One word against another: at least one of the two lies, and they are not asked together again. */
  | { readonly type: 'dispute'; readonly between: readonly [ParticipantIndex, ParticipantIndex] }
  | {
      readonly type: 'progress'
      readonly phase: RepairPhase
      readonly missing: readonly ParticipantIndex[]
      /** At the recoverer: whose M1 is here. Their operators approved. */
      readonly contributed?: readonly ParticipantIndex[]
      /** What single helpers said instead of helping. */
      readonly refusals: readonly { readonly helper: ParticipantIndex; readonly reason: RepairRefusal }[]
    }
  /** s_r with s_r*G == Y_r. The driver stores a copy durably, re-reads and checks it, then inputs `stored`. */
  | { readonly type: 'complete'; readonly share: Secret }
  /**
   * Every secret of this repair is erased. A helper's driver keeps its last snapshot, which is public, as long as the sharing is ACTIVE:
   * a request that is played back must not make a second M1 for the same rid.
   */
  | { readonly type: 'finished'; readonly reason: RepairEnd }

/** `released`: r said that it needs nothing more of this helper. `rolled-back`: a peer holds an M1 of ours for this rid that our disk does not know. */
export type RepairEnd = 'repaired' | 'released' | 'denied' | 'expired' | 'rolled-back' | 'failed'

export interface RepairStep<State> {
  readonly state: State
  readonly effects: readonly RepairEffect[]
}
