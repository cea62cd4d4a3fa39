import {
  type CommitteeConfig,
  type KeyId,
  KmsError,
  type KmsErrorOptions,
  type ParticipantIndex,
  type RepairTimings,
  type SignMessage,
  type VerifiedKey,
} from '@tkms/dkg'
import type { CeremonyLog } from '../ceremony/ports.ts'
import type { CeremonyNetwork } from '../net/ceremony-protocol.ts'
import type { Clock, RecordStore } from '../ports.ts'

/** One key generation as this node knows it. */
export interface DestroyableKey {
  readonly keyId: KeyId
  readonly destroyedAtMs?: number
  /** The newest generation of its name that is not destroyed: clients encrypt for it. */
  readonly newest: boolean
  /** Every certified sharing known here, the latest first. */
  readonly sharings: readonly VerifiedKey[]
}

/** What the destruction of keys needs of the keys this node knows. */
export interface DestroyKeys {
  list(): readonly DestroyableKey[]
  /** Tombstone and erasure of every share, durable when it resolves. Again and again is fine. */
  destroyKey(keyId: KeyId, order: Uint8Array): Promise<void>
}

/** What it needs of the ceremonies. */
export interface DestroyCeremonies {
  /** The `0x` id of a ceremony of this key that is undecided here: then no order may be signed (protocol 8). */
  undecidedOf(keyId: KeyId): string | undefined
  /** Whose word this node waits for after a restore, before it signs as a member of this committee. Default: nobody's. */
  awaited?(committee: CommitteeConfig): readonly ParticipantIndex[]
  /** Ends every undecided ceremony of the key and erases its records, PREPARED shares with them. */
  forgetKey(keyId: KeyId): Promise<void>
}

export interface DestroyServiceParams {
  readonly self: ParticipantIndex
  readonly sign: SignMessage
  readonly keys: DestroyKeys
  readonly ceremonies: DestroyCeremonies
  readonly store: RecordStore
  readonly network: Pick<CeremonyNetwork, 'send' | 'broadcast'>
  readonly clock: Clock
  readonly timings: RepairTimings
  readonly log: CeremonyLog
  /** The name of a node, for people. */
  readonly nameOf: (index: number) => string
}

export type DestroyErrorCode =
  | 'unknown-key'
  /** Only a member of the key's latest committee signs the order. */
  | 'not-a-member'
  | 'key-destroyed'
  /** A ceremony of the key, `data.ceremony`, is undecided here: finish or abandon it first. */
  | 'ceremony-open'
  /** A backup of this node was restored: it may have agreed to new shares of the key since, and others must tell it first. */
  | 'restored'
  /** Clients encrypt for it: the operator did not say that its name ends with it. */
  | 'newest-generation'
  /** The signature could not be made durable. */
  | 'interrupted'
  /** The operator did not repeat the id of the key. */
  | 'not-confirmed'

/** What destroying a key throws at its operator. */
export const destroyError = (
  code: DestroyErrorCode,
  message: string,
  options?: KmsErrorOptions,
): KmsError<DestroyErrorCode> => new KmsError(code, message, options)
