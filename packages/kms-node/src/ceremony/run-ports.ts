import type {
  CeremonyId,
  CeremonySpec,
  CeremonyTimings,
  ClusterNode,
  Curve,
  MemberSignature,
  ParticipantIndex,
  Secret,
  SignMessage,
} from '@tkms/dkg'
import type { CeremonyNetwork } from '../net/ceremony-protocol.ts'
import type { Clock, RecordStore, Rng } from '../ports.ts'
import type { Turns } from '../turns.ts'
import type { CeremonyArchive } from './archive.ts'
import type { AbandonmentBook, AuthorizationBook } from './books.ts'
import type { ImportedKeys } from './imported-keys.ts'
import type { CeremonyKeys, CeremonyLog, KnownKey } from './ports.ts'
import type { SlotBook } from './slot-book.ts'
import type { CeremonyStatus, NamedMember, NameOf } from './status.ts'
import type { RoutedFrame, WaitingRoom } from './waiting-room.ts'

/** What one ceremony needs of its node. */
export interface CeremonyRunPorts {
  readonly self: ParticipantIndex
  readonly timings: CeremonyTimings
  readonly identity: Secret
  readonly sign: SignMessage
  readonly curve: Curve
  readonly nodeSeed: Secret
  readonly store: RecordStore
  readonly network: CeremonyNetwork
  readonly clock: Clock
  readonly rng: Rng
  readonly log: CeremonyLog
  readonly evidenceDirectory: string
  readonly keys: CeremonyKeys
  readonly slots: SlotBook
  readonly authorizations: AuthorizationBook
  readonly abandonments: AbandonmentBook
  readonly imports: ImportedKeys
  readonly waitingRoom: WaitingRoom
  readonly nameOf: NameOf
  readonly publish: (status: CeremonyStatus) => void
  /** A verified AUTH of another member. */
  readonly onAuthorization: (spec: CeremonySpec, entry: MemberSignature) => void
  /** Does what gives the lower attempts of its slot up: none of them has an engine meanwhile. `onSlotChanged` lets them go on as they may. */
  readonly quiesce: <T>(spec: CeremonySpec, promise: () => Promise<T>) => Promise<T>
  /** Its steps that others must not come between (`CeremonyRegistry.inTurn`). */
  readonly inTurn: Turns
  /** Whose word is waited for before this node signs anything in X, because a backup was restored; mostly nobody's. */
  readonly awaited: (spec: CeremonySpec) => readonly ParticipantIndex[]
  /** Whether no engine of it may begin now: a higher attempt is being authorized, or was and X would still be acted in, or the node stops. */
  readonly isHeld: (spec: CeremonySpec, stage: 'running' | 'left' | 'superseded') => boolean
  /** The rules of its slot moved on: other attempts may be over. */
  readonly onSlotChanged: (spec: CeremonySpec) => void
}

/** Why a ceremony is over although nobody abandoned it. */
export const OVERTAKEN = {
  certified: 'a later attempt or epoch has its certificate',
  'given-up': 'this node gave it up for a later attempt',
  destroyed: 'its key was destroyed',
} as const

/** One X that this node's operator approved or abandoned, from then to its end. */
export interface CeremonyRun {
  readonly ceremony: CeremonyId
  readonly spec: CeremonySpec
  /** Where its new members are reached. */
  readonly nodes: readonly ClusterNode[]
  /** The members of both committees, without this node. */
  readonly peers: readonly ParticipantIndex[]
  readonly status: CeremonyStatus
  /** Once decided. */
  readonly archive: CeremonyArchive | undefined
  /** An engine works on it. */
  readonly isBusy: boolean
  /** Begins, or goes on from the last snapshot, as soon as the rules of its slot allow it. */
  begin(): Promise<void>
  /** This node's AUTH, where it has a say; then `begin`. */
  authorize(): Promise<void>
  /** This node gives it up. */
  abandon(): Promise<void>
  /** It was decided in an earlier life of this node. */
  restore(archive: CeremonyArchive, known: KnownKey): void
  /** It does not begin in this life of the node. Unless it was abandoned or `decided`, it can still be given up, and be decided by others. */
  end(stage: 'expired' | 'failed' | 'abandoned', reason: string, decided?: CeremonyArchive): void
  /** Its place is taken, or its key is gone: it signs nothing more, and unless it was only given up nothing of it is needed any more. */
  supersede(why: keyof typeof OVERTAKEN): Promise<void>
  deliver(from: ParticipantIndex, frame: RoutedFrame): void
  /** This member proposed it here, as whoever approved it does. */
  sawProposal(from: ParticipantIndex): void
  /** A connection to this peer came up, or it asks: it gets what it may lack. */
  greet(peer: ParticipantIndex): void
  /** Asks again for what is missing before an engine runs, and tries again what failed here. */
  remind(): void
  /** Stops the engine; `begin` or `supersede` goes on from its last snapshot, in this life of the node or the next. */
  halt(): Promise<void>
}

/** What a run is of: X, where its new members are reached, and who proposed it. */
export interface RunOf {
  readonly spec: CeremonySpec
  readonly nodes: readonly ClusterNode[]
  /** Not known any more after a restart. */
  readonly proposedBy?: NamedMember | undefined
  /** Who proposed it here too. */
  readonly begun?: readonly ParticipantIndex[] | undefined
}
