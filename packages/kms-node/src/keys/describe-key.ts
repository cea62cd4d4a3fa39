import { bytesToHex } from '@noble/hashes/utils.js'
import { equalBytes, type NodePublicKey, type VerifiedKey } from '@tkms/dkg'
import { COMMAND } from '../command.ts'
import type { KeyLife, LivingSharing } from './keeper-types.ts'
import type { SharingLife, SharingState } from './life.ts'

const MAX_PAST_SHARINGS = 4

/** What the operator of a node that lacks a share has to run. */
export const repairCommand = (keyName: string, dataDir: string): string =>
  `${COMMAND} repair ${keyName} --data-dir ${dataDir}`

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
  /** Indices of its members that have not said yet that they erased their share; absent for the latest sharing. */
  readonly notErased?: readonly number[]
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
  /** What the operator of this node should do, with the exact command. */
  readonly advice?: string
  /** Unix seconds. */
  readonly destroyedAt?: number
  /** The latest first: all that live here, and the last four that are over. */
  readonly sharings: readonly SharingDescription[]
}

export interface DescribePorts {
  /** This node's identity. */
  readonly self: NodePublicKey
  readonly notErased: (sharing: VerifiedKey) => readonly number[]
  /** For the commands that this node's operator is advised; without it there is no advice. */
  readonly dataDir?: string
}

/** @returns undefined for a destroyed key whose certificate this node never saw */
export function describeKey(life: KeyLife, { self, notErased, dataDir }: DescribePorts): KeyDescription | undefined {
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
    ...(dataDir !== undefined && adviceOn(latest, dataDir)),
    ...(life.destroyedAtMs !== undefined && { destroyedAt: Math.floor(life.destroyedAtMs / 1000) }),
    sharings: shownOf(life.sharings).map((sharing) =>
      describeSharing(sharing, sharing === latest ? undefined : notErased),
    ),
  }
}

/** All that still lives here, and the last few that are over. */
function shownOf(lives: readonly SharingLife<LivingSharing>[]): readonly SharingLife<LivingSharing>[] {
  const over = lives.filter(({ state }) => state === 'erased' || state === 'superseded').slice(MAX_PAST_SHARINGS)
  return lives.filter((life) => !over.includes(life))
}

function adviceOn({ state, sharing }: SharingLife<LivingSharing>, dataDir: string): Pick<KeyDescription, 'advice'> {
  if (state !== 'awaiting-repair') return {}
  const why = sharing.refusesEarlier
    ? 'this disk is older than the key: it was restored, or the node was away while the key was reshared'
    : 'this node has no share of it'
  return { advice: `${why}; run: ${repairCommand(sharing.key.keyName, dataDir)}` }
}

function roleOf(life: KeyLife, latest: SharingLife<LivingSharing>): KeyRole {
  if (life.destroyedAtMs !== undefined) return 'destroyed'
  if (latest.state === 'awaiting-repair') return 'awaiting-repair'
  if (latest.state === 'active') return life.newest ? 'active' : 'decrypt-only'
  return life.sharings.some(({ servable }) => servable) ? 'retiring' : 'not-a-member'
}

function describeSharing(
  life: SharingLife<LivingSharing>,
  notErased: DescribePorts['notErased'] | undefined,
): SharingDescription {
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
    ...(notErased !== undefined && { notErased: notErased(key) }),
    ...(damaged && { damaged }),
  }
}
