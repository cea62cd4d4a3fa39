import type { Curve } from '../primitives/curve.ts'
import type { SignMessage, VerifyMessage } from '../primitives/ed25519.ts'
import type { Secret } from '../primitives/secret.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import type { MemberSignature } from './certificate.ts'
import type { CheckedKey } from './check-certificate.ts'
import type { CeremonySpec } from './config.ts'
import type { Fault } from './evidence.ts'

/** The outside world of a ceremony. Nothing here reads a clock or draws randomness. */
export interface EnginePorts {
  readonly curve: Curve
  readonly sign: SignMessage
  readonly verify: VerifyMessage
}

/**
 * The rules whose absence must break agreement (protocol 4): the model test switches each off and has to find conflicts.
 * Everybody else runs `PROTOCOL_RULES`.
 */
export interface EngineRules {
  /** JOIN carries the CERT1 of the highest view its sender knows. */
  readonly carryCert1: boolean
  /** COMMIT only in the view this node is in, never for one it has left. */
  readonly commitOnlyInOwnView: boolean
  /** Who holds a CERT1 refuses to sign ABANDON. */
  readonly cert1ForbidsAbandon: boolean
}

export const PROTOCOL_RULES: EngineRules = { carryCert1: true, commitOnlyInOwnView: true, cert1ForbidsAbandon: true }

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
  /** RESHARE: the verified certificate of the sharing that X replaces. */
  readonly previous?: CheckedKey
  /** RESHARE and IMPORT: AUTH over X, verified by the caller, at least t_old signatures (protocol 6). */
  readonly authorizations?: readonly MemberSignature[]
}

export type TimerName = 'join' | 'deal' | 'vouch' | 'view' | 'retransmit'

export type CeremonyInput =
  /**
   * The answer to `need-seeds`: independent fresh seeds of 32 bytes, those that were asked for. The engine expands and destroys them.
   * `oldShare`, 32 bytes: this node's share of the previous sharing, or the imported key. A dealer without it joins as a receiver only.
   */
  | {
      readonly type: 'seeds'
      readonly view: number
      readonly dealing?: Secret
      readonly receiver?: Secret
      readonly oldShare?: Secret
    }
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
  /** A peer has started anew and asks what this node holds from it (protocol 5, STATUS). */
  | { readonly type: 'status-request'; readonly from: ParticipantIndex }
  /** The answer of a peer: messages signed by this node, of the highest view that the peer holds; none where it knows nothing. */
  | {
      readonly type: 'status'
      readonly from: ParticipantIndex
      readonly messages: readonly Uint8Array[]
      readonly cert1?: Uint8Array
    }
  /** The operator gives the ceremony up: this node promises no JOIN, VOTE or COMMIT in it again (protocol 3). */
  | { readonly type: 'abandon' }
  /** This node authorized a higher attempt of the slot: it never acts in this one again (protocol 3). */
  | { readonly type: 'supersede' }
  /** The share of `complete` is durable in the key store, re-read and checked: the engine erases its secrets. */
  | { readonly type: 'stored' }

/** Who is waited for, for people. */
export type CeremonyPhase =
  /** Peers are asked what they hold from this node, before it signs anything. */
  | 'checking'
  /** Given up here, and not signed yet: peers are asked as in `checking`. */
  | 'leaving'
  | 'seeding'
  | 'joining'
  | 'dealing'
  | 'vouching'
  | 'proposing'
  | 'voting'
  | 'committing'
  | 'fetching'
  | 'complete'
  /** Given up here; a certificate still counts. */
  | 'left'
  | 'abandoned'

/**
 * What the driver does, in this order. Every effect behind a `persist` waits until that snapshot is durable
 * (file and directory fsynced): rule "persist, fsync, then send".
 */
export type CeremonyEffect =
  | { readonly type: 'persist'; readonly snapshot: Secret }
  | { readonly type: 'need-seeds'; readonly view: number; readonly dealing: boolean; readonly receiver: boolean }
  | { readonly type: 'send'; readonly to: 'all' | ParticipantIndex; readonly signed: Uint8Array }
  | { readonly type: 'send-certificate'; readonly to: 'all' | ParticipantIndex; readonly certificate: Uint8Array }
  | {
      readonly type: 'fetch'
      readonly to: ParticipantIndex
      readonly sid: Uint8Array
      readonly dealer: ParticipantIndex
      readonly dealHash: Uint8Array
    }
  /** After every `open` and `resume`: nothing new is signed before Q - 1 members of newConfig answered. Sent again until then. */
  | { readonly type: 'ask-status'; readonly to: 'all' | ParticipantIndex }
  | {
      readonly type: 'send-status'
      readonly to: ParticipantIndex
      readonly messages: readonly Uint8Array[]
      readonly cert1?: Uint8Array
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
  /** A view ended without an outcome; the engine goes on in the next one. `reason` is a sentence for the operator. */
  | {
      readonly type: 'view-failed'
      readonly view: number
      readonly reason: string
      readonly leader: ParticipantIndex
      readonly missing: readonly ParticipantIndex[]
    }
  /** Peers hold messages of this node that its disk lacks: it was rolled back. It takes part again only above `view` (protocol 5). */
  | { readonly type: 'rolled-back'; readonly view: number }
  /** `abandon` is refused: this node holds a CERT1, so the ceremony may be certified. `reason` is a sentence for the operator. */
  | { readonly type: 'abandon-refused'; readonly reason: string }
  /** Q members gave it up: it can never be certified. The driver erases everything of it. */
  | { readonly type: 'abandoned' }

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
