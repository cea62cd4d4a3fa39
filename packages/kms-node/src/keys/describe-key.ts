import { bytesToHex } from '@noble/hashes/utils.js'
import { equalBytes, type NodePublicKey } from '@tkms/dkg'
import type { KeyLife } from './keeper-types.ts'
import type { KnownSharing } from './known-sharing.ts'
import type { SharingLife, SharingState } from './life.ts'

const MAX_PAST_SHARINGS = 4

const hex = (bytes: Uint8Array): string => `0x${bytesToHex(bytes)}`

/** What a key is to this node. */
export type KeyRole =
  /** The newest generation: new ciphertexts are made for it, and this node decrypts. */
  | 'active'
  /** An older generation: this node decrypts until the key is destroyed. */
  | 'decrypt-only'
  /** This node left the committee, and still answers under its old share for a while. */
  | 'retiring'
  /** This node is in the committee and lacks its share: `kms-node repair`. */
  | 'awaiting-repair'
  | 'not-a-member'
  | 'destroyed'

/** One sharing of a key, as the HTTP API and the operator see it. Public. */
export interface SharingDescription {
  readonly sharingId: string
  readonly epoch: number
  readonly attempt: number
  readonly state: SharingState
  /** Whether this node answers requests under it. */
  readonly serving: boolean
  /** When this node first saw its certificate, Unix seconds; 0 where that was before such records were kept. */
  readonly since: number
  /** While it retires: seconds of running time until it is erased; absent where nothing orders it yet. */
  readonly eraseInSeconds?: number
  /** Unix seconds. */
  readonly erasedAt?: number
  /** There is a record of its share that cannot be used. */
  readonly damaged?: true
}

/** A key with its latest certificate. Public. */
export interface KeyDescription {
  readonly keyId: string
  readonly keyName: string
  readonly purpose: string
  readonly generation: number
  /** Of the latest sharing, as are the fields down to `index`. */
  readonly epoch: number
  readonly attempt: number
  readonly sharingId: string
  readonly threshold: number
  /** Y, compressed. */
  readonly publicKey: string
  /** This node's index in the key's committee; absent when it is not in it. */
  readonly index?: number
  /** False while this node waits to be repaired, and for a node outside the committee. */
  readonly serving: boolean
  readonly role: KeyRole
  readonly certificate: string
  /** Unix seconds. */
  readonly destroyedAt?: number
  /** The latest first: all that live here, and the last four that are over. */
  readonly sharings: readonly SharingDescription[]
}

/** @returns undefined for a destroyed key whose certificate this node never saw */
export function describeKey(life: KeyLife, self: NodePublicKey): KeyDescription | undefined {
  const [latest] = life.sharings
  if (latest === undefined) return undefined
  const { key } = latest.sharing
  const index = key.config.members.find(({ publicKey }) => equalBytes(publicKey, self))?.index
  return {
    keyId: hex(key.keyId),
    keyName: key.keyName,
    purpose: key.purpose,
    generation: key.generation,
    epoch: key.epoch,
    attempt: key.attempt,
    sharingId: hex(key.sharingId),
    threshold: key.t,
    publicKey: hex(key.groupKey),
    ...(index !== undefined && { index }),
    serving: latest.servable,
    role: roleOf(life, latest),
    certificate: hex(key.certificate),
    ...(life.destroyedAtMs !== undefined && { destroyedAt: Math.floor(life.destroyedAtMs / 1000) }),
    sharings: shownOf(life.sharings).map(describeSharing),
  }
}

/** All that still lives here, and the last few that are over. */
function shownOf(lives: readonly SharingLife<KnownSharing>[]): readonly SharingLife<KnownSharing>[] {
  const over = lives.filter(({ state }) => state === 'erased' || state === 'superseded').slice(MAX_PAST_SHARINGS)
  return lives.filter((life) => !over.includes(life))
}

function roleOf(life: KeyLife, latest: SharingLife<KnownSharing>): KeyRole {
  if (life.destroyedAtMs !== undefined) return 'destroyed'
  if (latest.state === 'awaiting-repair') return 'awaiting-repair'
  if (latest.state === 'active') return life.newest ? 'active' : 'decrypt-only'
  return life.sharings.some(({ servable }) => servable) ? 'retiring' : 'not-a-member'
}

function describeSharing(life: SharingLife<KnownSharing>): SharingDescription {
  const { key, record, damaged } = life.sharing
  const { tombstone } = record
  return {
    sharingId: hex(key.sharingId),
    epoch: key.epoch,
    attempt: key.attempt,
    state: life.state,
    serving: life.servable,
    since: Math.floor(record.seenAtMs / 1000),
    ...(life.retirement !== undefined && { eraseInSeconds: Math.ceil(life.retirement.dueInMs / 1000) }),
    ...(tombstone !== undefined && { erasedAt: Math.floor(tombstone.erasedAtMs / 1000) }),
    ...(damaged && { damaged }),
  }
}
