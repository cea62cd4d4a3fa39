import type { Curve } from '../primitives/curve.ts'
import type { SignMessage, VerifyMessage } from '../primitives/ed25519.ts'
import type { Secret } from '../primitives/secret.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import type { CeremonySpec } from './config.ts'
import type { Fault } from './evidence.ts'

/** The outside world of a ceremony. Nothing here reads a clock or draws randomness. */
export interface EnginePorts {
  readonly curve: Curve
  readonly sign: SignMessage
  readonly verify: VerifyMessage
}

/** Lengths of the local timers (protocol 4). Tests shorten them. */
export interface CeremonyTimings {
  /** T_phase(0) = phaseBaseMs + phasePerMemberMs * n, doubled per view up to 2^5. */
  readonly phaseBaseMs: number
  readonly phasePerMemberMs: number
  /** First pause before own messages are sent again; doubled each time up to `retransmitMaxMs`. */
  readonly retransmitMs: number
  readonly retransmitMaxMs: number
}

export const PROTOCOL_TIMINGS: CeremonyTimings = {
  phaseBaseMs: 10_000,
  phasePerMemberMs: 500,
  retransmitMs: 2_000,
  retransmitMaxMs: 30_000,
}

export interface CeremonyParams {
  readonly spec: CeremonySpec
  readonly self: ParticipantIndex
  readonly timings: CeremonyTimings
}

export type TimerName = 'join' | 'deal' | 'vouch' | 'view' | 'retransmit'

export type CeremonyInput =
  /** The answer to `need-seeds`: two independent fresh seeds of 32 bytes. The engine expands and destroys them. */
  | { readonly type: 'seeds'; readonly view: number; readonly dealing: Secret; readonly receiver: Secret }
  /** A signed message (var body || signature) from anybody: the signature says who made it. Any bytes are welcome. */
  | { readonly type: 'message'; readonly signed: Uint8Array }
  /** A canonical CERT from anybody. */
  | { readonly type: 'certificate'; readonly certificate: Uint8Array }
  /** A peer asks for a DEAL by its hash. */
  | {
      readonly type: 'fetch'
      readonly from: ParticipantIndex
      readonly sid: Uint8Array
      readonly dealer: number
      readonly dealHash: Uint8Array
    }
  | { readonly type: 'timer'; readonly name: TimerName; readonly view: number }
  /** A connection to this peer came up: own messages are sent to it again at once. */
  | { readonly type: 'peer-connected'; readonly peer: ParticipantIndex }
  /** The share of `complete` is durable in the key store, re-read and checked: the engine erases its secrets. */
  | { readonly type: 'stored' }

/** Who is waited for, for people. */
export type CeremonyPhase =
  | 'seeding'
  | 'joining'
  | 'dealing'
  | 'vouching'
  | 'voting'
  | 'committing'
  | 'fetching'
  | 'complete'
  | 'stopped'

/**
 * What the driver does, in this order. Every effect behind a `persist` waits until that snapshot is durable
 * (file and directory fsynced): rule "persist, fsync, then send".
 */
export type CeremonyEffect =
  | { readonly type: 'persist'; readonly snapshot: Secret }
  | { readonly type: 'need-seeds'; readonly view: number }
  | { readonly type: 'send'; readonly to: 'all' | ParticipantIndex; readonly signed: Uint8Array }
  | { readonly type: 'send-certificate'; readonly to: 'all' | ParticipantIndex; readonly certificate: Uint8Array }
  | {
      readonly type: 'fetch'
      readonly to: ParticipantIndex
      readonly sid: Uint8Array
      readonly dealer: ParticipantIndex
      readonly dealHash: Uint8Array
    }
  /** Replaces a running timer of the same name. */
  | { readonly type: 'start-timer'; readonly name: TimerName; readonly view: number; readonly ms: number }
  | { readonly type: 'stop-timer'; readonly name: TimerName }
  | { readonly type: 'fault'; readonly fault: Fault }
  | {
      readonly type: 'progress'
      readonly phase: CeremonyPhase
      readonly view: number
      readonly have: number
      readonly want: number
      readonly missing: readonly ParticipantIndex[]
    }
  /** CERT2 is there. `share` is missing when this node must be repaired. The driver stores both durably, then inputs `stored`. */
  | { readonly type: 'complete'; readonly certificate: Uint8Array; readonly share?: Secret }
  /**
   * The answer to `stored`: every secret of the ceremony is destroyed. What is left is public, may be kept in clear, and lets the
   * driver answer late peers without an engine: any message of this ceremony with the certificate, a `fetch` with the DEAL of that hash.
   */
  | { readonly type: 'archive'; readonly certificate: Uint8Array; readonly dealings: readonly ArchivedDealing[] }
  /** Nothing more will come of this ceremony at this node by itself. `reason` is a sentence for the operator. */
  | {
      readonly type: 'stopped'
      readonly reason: string
      readonly leader: ParticipantIndex
      readonly missing: readonly ParticipantIndex[]
    }

export interface ArchivedDealing {
  readonly dealer: ParticipantIndex
  readonly dealHash: Uint8Array
  readonly signed: Uint8Array
}

/** Opaque outside the engine; immutable: every step returns a new one. */
export interface Step<State> {
  readonly state: State
  readonly effects: readonly CeremonyEffect[]
}

/** A ceremony as a pure, total reducer: never throws for any bytes, and the same inputs give byte-identical effects. */
export interface CeremonyEngine<State> {
  open(params: CeremonyParams): Step<State>
  step(state: State, input: CeremonyInput): Step<State>
  /** Continues from the last persisted snapshot: stored bytes are sent again, nothing is derived again. @throws KmsError `bad-encoding` */
  resume(params: CeremonyParams, snapshot: Secret): Step<State>
}
