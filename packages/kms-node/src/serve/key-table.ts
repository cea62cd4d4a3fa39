import {
  bytesKey,
  type Curve,
  equalBytes,
  type KeyId,
  KmsError,
  type NodePublicKey,
  type ParticipantIndex,
  type PointBytes,
  type Purpose,
  type Secret,
  type SharingId,
  type VerifiedKey,
  type VerifyMessage,
  verificationShare,
  verifyCertificate,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { ShareStore, StoredShare } from '../store/share-store.ts'

/** One sharing that this node holds, without its share. */
export interface ServedKey {
  readonly key: VerifiedKey
  /** This node's place in the key's committee. */
  readonly index: ParticipantIndex
  /** Y_j, computed from the certificate. */
  readonly verificationShare: PointBytes
  /** Without a share the node knows the key but cannot serve it. */
  readonly hasShare: boolean
}

/** A key that was stored but is not served: its certificate or its share does not hold. */
export interface UnservedKey {
  /** Code of the KmsError that says why. */
  readonly code: string
}

export interface LoadReport {
  readonly loaded: readonly ServedKey[]
  readonly refused: readonly UnservedKey[]
}

export type ShareLookup =
  | {
      readonly kind: 'found'
      readonly served: ServedKey
      /** Lends the share to `fn`, which must not keep it. */
      readonly use: <T>(fn: (share: Secret) => T) => T
    }
  | { readonly kind: 'unknown-key' | 'wrong-purpose' | 'wrong-sharing' }

/** Finds keys of one purpose only: what the handler of that purpose holds, and nobody else (protocol 0.9, 10.3). */
export interface ShareLender {
  readonly purpose: Purpose
  /** Without a sharingId: the active sharing, the one of the latest epoch. */
  find(keyId: KeyId, sharingId: SharingId | undefined): ShareLookup
}

/** The live set of keys. Public data for everybody, shares through a lender only. */
export interface KeyTable {
  /** Reads every stored share and checks certificate and share * G == Y_j (protocol 5). A key that fails is reported, not served. */
  load(store: ShareStore): Promise<LoadReport>
  /** Takes a key of a finished ceremony over, and its share with it. @throws KmsError `bad-certificate`, `self-check-failed` */
  add(entry: StoredShare): ServedKey
  /** Every sharing, by key name, generation and epoch. */
  list(): readonly ServedKey[]
  /** The active sharing of a key. */
  get(keyId: KeyId): ServedKey | undefined
  lender(purpose: Purpose): ShareLender
  /** Wipes every share. */
  destroy(): void
}

export interface KeyTableOptions {
  readonly curve: Curve
  readonly verify: VerifyMessage
  /** This node's identity. */
  readonly self: NodePublicKey
  /** The committee this node joined, 32 bytes. */
  readonly configHash: Uint8Array
}

interface Entry extends ServedKey {
  readonly share: Secret | undefined
}

export function createKeyTable(options: KeyTableOptions): KeyTable {
  /** keyId -> sharings, the latest epoch first. */
  const keys = new Map<string, readonly Entry[]>()

  const add = (stored: StoredShare): ServedKey => {
    const entry = checkEntry(options, stored)
    const name = bytesKey(entry.key.keyId)
    const known = keys.get(name) ?? []
    const replaced = known.find((other) => equalBytes(other.key.sharingId, entry.key.sharingId))
    if (replaced !== undefined && replaced.share !== entry.share) replaced.share?.destroy()
    const others = known.filter((other) => other !== replaced)
    keys.set(
      name,
      [entry, ...others].toSorted((left, right) => right.key.epoch - left.key.epoch),
    )
    return publicPart(entry)
  }

  const find = (purpose: Purpose, keyId: KeyId, sharingId: SharingId | undefined): ShareLookup => {
    const entries = keys.get(bytesKey(keyId)) ?? []
    const [active] = entries
    if (active === undefined) return { kind: 'unknown-key' }
    if (active.key.purpose !== purpose) return { kind: 'wrong-purpose' }
    const entry = sharingId === undefined ? active : entries.find(({ key }) => equalBytes(key.sharingId, sharingId))
    const share = entry?.share
    if (entry === undefined || share === undefined) return { kind: 'wrong-sharing' }
    return { kind: 'found', served: publicPart(entry), use: (fn) => fn(share) }
  }

  return {
    add,
    async load(store) {
      const loaded: ServedKey[] = []
      const refused: UnservedKey[] = []
      for (const stored of await store.list()) {
        try {
          loaded.push(add(stored))
        } catch (error) {
          if (!isKmsError(error)) throw error
          refused.push({ code: error.code })
        }
      }
      return { loaded, refused }
    },
    list: () =>
      [...keys.values()]
        .flat()
        .map(publicPart)
        .toSorted((left, right) => (sortKey(left) < sortKey(right) ? -1 : 1)),
    get(keyId) {
      const active = keys.get(bytesKey(keyId))?.[0]
      return active === undefined ? undefined : publicPart(active)
    },
    lender: (purpose) => ({ purpose, find: (keyId, sharingId) => find(purpose, keyId, sharingId) }),
    destroy() {
      for (const entry of [...keys.values()].flat()) entry.share?.destroy()
      keys.clear()
    },
  }
}

const sortKey = ({ key }: ServedKey): string =>
  [
    key.keyName,
    String(key.generation).padStart(10, '0'),
    String(key.epoch).padStart(10, '0'),
    bytesKey(key.sharingId),
  ].join(' ')

const publicPart = ({ key, index, verificationShare: share, hasShare }: Entry): ServedKey => ({
  key,
  index,
  verificationShare: share,
  hasShare,
})

function checkEntry({ curve, verify, self, configHash }: KeyTableOptions, stored: StoredShare): Entry {
  try {
    const key = verifyCertificate(curve, verify, stored.certificate, { configHash })
    const member = key.config.members.find(({ publicKey }) => equalBytes(publicKey, self))
    if (member === undefined)
      throw new KmsError('bad-certificate', 'this node is no member of the committee of the key', {
        data: { keyName: key.keyName },
      })
    const expected = verificationShare(curve, key.commitment, member.index)
    if (stored.share !== undefined && !equalBytes(curve.mulBaseSecret(stored.share), expected))
      throw new KmsError('self-check-failed', 'the stored share is not the one of the certificate', {
        data: { keyName: key.keyName },
      })
    return {
      key,
      index: member.index,
      verificationShare: expected,
      hasShare: stored.share !== undefined,
      share: stored.share,
    }
  } catch (error) {
    stored.share?.destroy()
    throw error
  }
}
