import type { CeremonyId, KeyId, KmsError, ParticipantIndex, Secret, SharingId, VerifiedKey } from '@tkms/dkg'
import type { KeyHead } from '../net/ceremony-frame.ts'
import type { Clock } from '../ports.ts'
import type { KeyTable } from '../serve/key-table.ts'
import type { KnownSharing, RecallPorts } from './known-sharing.ts'
import type { RetirementTimes, SharingFacts, SharingLife } from './life.ts'
import type { KeyProblem } from './load-keys.ts'
import type { Odometer } from './odometer.ts'
import type { ShareStore } from './share-store.ts'

/** What the caller knows of a ceremony of this node that was certified. */
export interface CeremonyWord {
  /** This node's operator approved the X: a degraded AUTH counts (protocol 6). */
  readonly approvedHere: boolean
  /** False for an attempt that this node gave up by authorizing a higher one: nothing is erased on its word (protocol 3). */
  readonly mayErase: boolean
}

export interface LearnOptions {
  /** Config hashes, 32 bytes each, of committees that the operator accepts on a degraded AUTH. */
  readonly accepted?: readonly Uint8Array[]
}

export interface Learned {
  /** New certificates, in the order in which they lead on, and those with a full AUTH of a sharing known by a degraded one. */
  readonly keys: readonly VerifiedKey[]
  /** Why others were not followed: `bad-certificate`, `degraded-certificate`. */
  readonly refused: readonly KmsError[]
}

/** A sharing, and whether enough of its members are known to have moved on to it. */
export type LivingSharing = KnownSharing & Pick<SharingFacts, 'isEstablished'>

/** A key with the life of each of its sharings at this node. */
export interface KeyLife {
  readonly keyId: KeyId
  /** Unix milliseconds. */
  readonly destroyedAtMs?: number
  /** Whether new ciphertexts should be made for it: the newest generation of its name. Older ones only decrypt. */
  readonly newest: boolean
  /** The latest first. */
  readonly sharings: readonly SharingLife<LivingSharing>[]
}

/** For the log and the network. */
export interface KeyEvents {
  /** A share, or the place of one that never was here, is erased for ever on the word of `successor`. */
  onErased(sharing: VerifiedKey, successor: VerifiedKey): void
  /**
   * A later sharing than the disk knew, or a key that it did not know, and no ceremony of this node that waits for it: the disk is older
   * than the key (row 31). `proven`: this node itself signed the certificate. Earlier shares answer nothing any more.
   */
  onBehind(key: VerifiedKey, proven: boolean): void
  /** A tick of the erasing failed; it is tried again. */
  onError(cause: unknown): void
  /** A key's latest sharing, or what this node holds of it, changed. */
  onChanged(keyId: KeyId): void
}

/**
 * The life of every key and share at this node (protocol 8): what was verified is kept, what has a successor retires, what retired is erased.
 * Every state follows from what is durable: a crash at any step is made good at the next start.
 */
export interface KeyKeeper {
  /** Loads what the store holds, finishing what a crash interrupted. Nothing is served before `open`. */
  start(): Promise<readonly KeyProblem[]>
  /** Serves: the peers were asked, or did not answer in time (protocol 5). Idempotent. */
  open(): void
  isOpen(): boolean
  /**
   * The certificate of a ceremony of this node, and its share with it: durable, read back, checked and in service when it resolves.
   * The same again changes nothing, a full AUTH takes the place of a degraded one. `share` is borrowed; one of an epoch that is left behind is not kept.
   * @throws KmsError `bad-certificate`, `degraded-certificate`, `key-destroyed`, `self-check-failed`, `share-erased`, errors of the store
   */
  install(certificate: Uint8Array, share: Secret | undefined, word: CeremonyWord): Promise<VerifiedKey>
  /**
   * Certificates from anybody, verified through the chain and kept, of destroyed keys too: their committees may begin other keys, and a key
   * is gone only when all its sharings are. Never throws for what they say. One that this node signed itself and
   * has no ceremony of, and every new one before `open`, shows that the disk is behind. @throws errors of the store
   */
  learn(certificates: readonly Uint8Array[], options?: LearnOptions): Promise<Learned>
  /**
   * The share that a repair brought, of the latest sharing only. `share` is borrowed.
   * @throws KmsError `share-erased` for any other sharing or a destroyed key, `self-check-failed`, errors of the store
   */
  repaired(sharingId: SharingId, share: Secret): Promise<void>
  /**
   * Erases every share of a key for ever, whatever its epoch. The caller verified the order, and keeps it (protocol 8, DESTROY).
   * Resolves when it is durable. @throws errors of the store
   */
  destroyKey(keyId: KeyId, order: Uint8Array): Promise<void>
  /** What a peer says that it knows: an epoch retires for good when t members have the next one. */
  heard(peer: ParticipantIndex, heads: readonly KeyHead[]): void
  /** Erases now what is due, once nobody works with it; a clock of the keeper's own calls it in time. @throws errors of the store */
  eraseDue(): Promise<void>
  /** Every key that is known here, also those without a share, by name and generation. */
  list(): readonly KeyLife[]
  /** Any certified sharing that is known here. */
  find(sharingId: SharingId): KnownSharing | undefined
  /** A copy of the own share, which the caller wipes; undefined when it is lost, erased, or this node is not in the committee. */
  copyShare(sharingId: SharingId): Secret | undefined
  /** The orders of destroyed keys, for peers that were away. */
  readonly orders: () => readonly { readonly keyId: KeyId; readonly order: Uint8Array }[]
  /** Stops the clock of retiring shares; what is under way is finished. */
  stop(): Promise<void>
}

export interface KeyKeeperParams extends RecallPorts {
  /** Of the genesis committee that this node joined, 32 bytes. */
  readonly pinned: Uint8Array
  readonly shares: ShareStore
  readonly table: KeyTable
  readonly odometer: Odometer
  readonly clock: Clock
  readonly times: RetirementTimes
  /** Whether shares may be erased on the word of a certificate that came by itself: false for an attempt given up here. */
  readonly mayErase: (key: VerifiedKey) => Promise<boolean>
  /** Whether a ceremony of this node waits for its certificate, and its share with it. */
  readonly isUnderWay: (ceremony: CeremonyId) => Promise<boolean>
  readonly events: KeyEvents
}
