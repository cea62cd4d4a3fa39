import type { ClusterNode, Secret, SharingId, VerifiedKey } from '@tkms/dkg'

/** The log, as ceremonies use it: an event and public fields, never a secret. */
export interface CeremonyLog {
  info(fields: Readonly<Record<string, unknown>>, event: string): void
  warn(fields: Readonly<Record<string, unknown>>, event: string): void
  error(fields: Readonly<Record<string, unknown>>, event: string): void
}

/** A certified sharing, and whether this node holds a share of it. */
export interface KnownKey {
  readonly key: VerifiedKey
  readonly hasShare: boolean
}

export interface InstallOptions {
  /** This node's operator approved exactly this X: a degraded AUTH counts (protocol 6). */
  readonly approvedHere: boolean
  /** Earlier shares may be erased on its word (protocol 8, rule 3). */
  readonly mayErase: boolean
}

/** What ceremonies need of the keys this node knows. */
export interface CeremonyKeys {
  /** The newest sharing of every key generation known here, whether or not this node is a member; destroyed keys are left out. */
  list(): readonly KnownKey[]
  /** Every certified sharing known here, of destroyed keys too; the newest of each key before its others. Default: those of `list`. */
  history?(): readonly VerifiedKey[]
  /** Any verified sharing known here. */
  find(sharingId: Uint8Array): KnownKey | undefined
  /** This node signed an order to destroy the key: it begins no ceremony of it any more (protocol 8). Default: none. */
  isClosed?(keyId: Uint8Array): boolean
  /** A copy of this node's share, which the caller destroys. */
  copyShare(sharingId: SharingId): Secret | undefined
  /** Durable and checked when it resolves; the same sharing again is fine. `share` is borrowed. */
  install(certificate: Uint8Array, share: Secret | undefined, options: InstallOptions): Promise<VerifiedKey>
  /** A certificate from a peer, kept where it leads on from what is trusted. */
  learn(certificate: Uint8Array): Promise<VerifiedKey | undefined>
}

/** Where nodes are reached. Nobody's signature covers it: identities come from committees. */
export interface AddressBook {
  nodes(): readonly ClusterNode[]
  /** Durable when it resolves. Adds what is unknown, changes nothing, leaves out what contradicts. */
  add(nodes: readonly ClusterNode[]): Promise<void>
}
