import type { SignMessage, VerifyMessage } from '../primitives/ed25519.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import type { DestroyMessage, DestroySharing, ErasedStatement, OrderSignature } from './messages.ts'
import type { DestroyedSharing, UnseenSharing } from './progress.ts'

/** DESTROY at one node as a pure, total reducer (protocol 8): order, erasure, receipts. It holds no secret. */

export interface DestroyPorts {
  readonly sign: SignMessage
  readonly verify: VerifyMessage
}

export interface DestroyParams {
  /** Every certified sharing of the generation that is known, from verified certificates; exactly one of them is `current`. */
  readonly sharings: readonly DestroySharing[]
  /** The sharing the order names: the newest one. */
  readonly current: DestroySharing
  readonly self: ParticipantIndex
  readonly timings: { readonly retransmitMs: number; readonly retransmitMaxMs: number }
}

export type DestroyInput =
  /** This node's operator signs. The driver has checked that no ceremony of the key is undecided, and lets none begin from now on. */
  | { readonly type: 'approve' }
  /** The body of a `destroy` frame, and the peer it came from: messages are believed for their signatures, `from` is answered. */
  | { readonly type: 'message'; readonly from: ParticipantIndex; readonly message: Uint8Array }
  /** The body of an `erased` frame from anybody. */
  | { readonly type: 'erased-statement'; readonly message: Uint8Array }
  /** The tombstone is durable, and every share of the generation is erased here: of these sharings, all that are known. */
  | { readonly type: 'erased'; readonly sharings: readonly DestroySharing[] }
  /** Every certified sharing of the generation that is known now. */
  | { readonly type: 'sharings'; readonly sharings: readonly DestroySharing[] }
  | { readonly type: 'timer' }
  | { readonly type: 'peer-connected'; readonly peer: ParticipantIndex }

/** `collecting` signatures; `erasing` by order of Q; `erased` here, receipts of others missing; `gone` everywhere that matters. */
export type DestroyPhase = 'collecting' | 'erasing' | 'erased' | 'gone'

export type DestroyEffect =
  /** Public bytes. Whatever follows waits until they are durable. */
  | { readonly type: 'persist'; readonly snapshot: Uint8Array }
  | { readonly type: 'send'; readonly to: 'all' | ParticipantIndex; readonly message: Uint8Array }
  /** Q members ordered it: the driver writes the tombstone, erases every share of every epoch, PREPARED ones too, then inputs `erased`. */
  | { readonly type: 'erase'; readonly order: Uint8Array }
  | { readonly type: 'start-timer'; readonly ms: number }
  | { readonly type: 'stop-timer' }
  | {
      readonly type: 'progress'
      readonly phase: DestroyPhase
      /** Signatures of the order while collecting, else what is gone of each sharing. */
      readonly signatures: {
        readonly have: number
        readonly want: number
        readonly missing: readonly ParticipantIndex[]
      }
      readonly sharings: readonly DestroyedSharing[]
      /** Sharings that exist and are not known here: the key is not called gone as long as there is one. */
      readonly unseen: readonly UnseenSharing[]
    }

/** Opaque outside the reducer. */
export interface DestroyCollectorState {
  params: DestroyParams
  phase: DestroyPhase
  readonly signatures: Map<ParticipantIndex, OrderSignature>
  readonly receipts: Map<ParticipantIndex, DestroyMessage>
  readonly erased: Map<string, { readonly statement: ErasedStatement; readonly signature: Uint8Array }>
  /** What holders say about sharings that are not known here: one word each, and the message that has it. */
  readonly claims: Map<ParticipantIndex, { readonly unseen: UnseenSharing; readonly message: Uint8Array }>
  /** How many times a peer was answered since it connected. */
  readonly answers: Map<ParticipantIndex, number>
  retransmits: number
  progress: string
}

export interface DestroyStep {
  readonly state: DestroyCollectorState
  readonly effects: readonly DestroyEffect[]
}

export interface DestroyCollector {
  /** @throws KmsError `bad-parameters` when `current` is not among the sharings */
  open(params: DestroyParams): DestroyStep
  /** Total: no bytes make it throw. */
  step(state: DestroyCollectorState, input: DestroyInput): DestroyStep
  /**
   * Continues from the last persisted snapshot, as far as the signatures in it go. An order that was complete is continued whatever
   * sharing is `current` meanwhile. @throws KmsError `bad-encoding`, also for an order for a sharing that is not known
   */
  resume(params: DestroyParams, snapshot: Uint8Array): DestroyStep
}
