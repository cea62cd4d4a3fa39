import type {
  CommitteeConfig,
  Curve,
  ParticipantIndex,
  RepairTimings,
  Secret,
  SharingId,
  SignMessage,
  VerifiedKey,
} from '@tkms/dkg'
import type { CeremonyLog } from '../ceremony/ports.ts'
import type { CeremonyNetwork } from '../net/ceremony-protocol.ts'
import type { Clock, RecordStore, Rng } from '../ports.ts'

/** The latest sharing of a living key, as this node stands to it. */
export interface RepairableKey {
  readonly key: VerifiedKey
  readonly isMember: boolean
  readonly hasShare: boolean
}

/** What repairs need of the keys this node knows. */
export interface RepairKeys {
  /** The latest sharing of every key that is not destroyed. */
  list(): readonly RepairableKey[]
  /** A copy of this node's share, which the caller destroys. */
  copyShare(sharingId: SharingId): Secret | undefined
  /** Durable, read back and checked when it resolves. `share` is borrowed. @throws KmsError `share-erased`, `self-check-failed` */
  repaired(sharingId: SharingId, share: Secret): Promise<void>
}

export interface RepairServiceParams {
  readonly self: ParticipantIndex
  readonly curve: Curve
  readonly sign: SignMessage
  readonly keys: RepairKeys
  readonly store: RecordStore
  readonly network: Pick<CeremonyNetwork, 'send' | 'connected'>
  readonly clock: Clock
  readonly rng: Rng
  /** Sealed; borrowed. */
  readonly nodeSeed: Secret
  readonly timings: RepairTimings
  readonly log: CeremonyLog
  /** Whose word this node waits for after a restore, before it signs as a member of this committee. Default: nobody's. */
  readonly awaited?: (committee: CommitteeConfig) => readonly ParticipantIndex[]
  readonly evidenceDirectory: string
  /** For advice. */
  readonly dataDir: string
  /** The name of a node, for people. */
  readonly nameOf: (index: number) => string
}
