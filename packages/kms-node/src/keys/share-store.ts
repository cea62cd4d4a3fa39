import { concatBytes } from '@noble/hashes/utils.js'
import {
  bytesKey,
  decodeAll,
  equalBytes,
  type KeyId,
  KmsError,
  MAX_CERTIFICATE_BYTES,
  Secret,
  type SharingId,
  u64,
  u8,
  varBytes,
} from '@tkms/dkg'
import type { RecordKind, RecordStore } from '../ports.ts'
import { storeError } from '../store/errors.ts'
import { certificateNames } from './certificate-names.ts'
import { damageCode, unlessDamaged } from './damage.ts'
import { decodeSharingRecord, encodeSharingRecord, type SharingRecord, type Tombstone } from './sharing-record.ts'

const SHARE_BYTES = 32
/** An order with 64 signatures is below 5 KiB. */
const MAX_ORDER_BYTES = 64 * 1024

export interface StoredShare {
  /** CERT, as it was put: verify it before use. */
  readonly certificate: Uint8Array
  /** 32 bytes; undefined while this node waits to be repaired. */
  readonly share: Secret | undefined
}

/** A record that does not open or decode. It stays where it is until a share that verifies is put in its place, or its sharing is erased. */
export interface DamagedRecord {
  readonly kind: RecordKind
  /** The record's id: the sharing or the key, in hex. */
  readonly id: string
  /** Code of the KmsError. */
  readonly code: string
}

export interface DestroyedKey {
  readonly keyId: KeyId
  /** The signed order, as the caller verified it. */
  readonly order: Uint8Array
  /** Unix milliseconds. */
  readonly destroyedAtMs: number
}

export interface StoredKeys {
  readonly sharings: readonly SharingRecord[]
  /** The caller destroys the shares. */
  readonly shares: readonly StoredShare[]
  readonly destroyed: readonly DestroyedKey[]
  readonly damaged: readonly DamagedRecord[]
}

/**
 * What a node keeps of its keys: a share and a sharing record per sharing, named by sharingId in hex, and the orders of destroyed keys.
 * A tombstone, or the order that destroyed the key, outlives the share and is written before it goes.
 */
export interface ShareStore {
  /** Everything, after finishing what a crash interrupted: no share outlives its tombstone. @throws errors of the store */
  load(): Promise<StoredKeys>
  /**
   * Durable when it resolves. Replaces what was stored for the same sharing, but never a share by none.
   * @throws KmsError `share-erased` below a tombstone or for a destroyed key; of the codec or the store
   */
  putShare(entry: StoredShare): Promise<void>
  /** The share as it is on the disk now; the caller destroys it. @throws KmsError of the codec or the store */
  readShare(sharingId: SharingId): Promise<StoredShare | undefined>
  /** Durable when it resolves. A tombstone stays. @throws errors of the store */
  putSharing(record: SharingRecord): Promise<void>
  /** Tombstone, then data key and file (protocol 8, Deletion). @throws errors of the store */
  erase(record: SharingRecord, tombstone: Tombstone): Promise<void>
  /** The order, then every share of the key, whatever its epoch. The same key again changes nothing. @throws errors of the store */
  destroy(key: DestroyedKey): Promise<void>
}

export function createShareStore(records: RecordStore): ShareStore {
  const readSharing = async (id: string): Promise<SharingRecord | undefined> =>
    read(records, 'sharing', id, decodeSharingRecord)
  const readShare = async (id: string): Promise<StoredShare | undefined> =>
    read(records, 'share', id, (record) => decodeShare(id, record))
  const write = async (kind: RecordKind, id: string, record: Secret): Promise<void> => {
    try {
      await records.put(kind, id, record)
    } finally {
      record.destroy()
    }
  }

  const isDestroyed = async (keyId: KeyId): Promise<boolean> =>
    (await records.list('destroyed')).includes(bytesKey(keyId))

  const requireAlive = async (certificate: Uint8Array, id: string): Promise<void> => {
    const sharing = await readSharing(id)
    if (sharing?.tombstone !== undefined || (await isDestroyed(certificateNames(certificate).keyId)))
      throw new KmsError('share-erased', 'this share was erased here for ever: it does not come back', {
        data: { sharingId: id },
      })
  }

  /** A damaged record holds no share that anybody can use. */
  const holdsShare = async (id: string): Promise<boolean> => {
    const stored = await unlessDamaged(() => readShare(id))
    stored?.share?.destroy()
    return stored?.share !== undefined
  }

  const eraseSharesOf = async (keyId: KeyId): Promise<void> => {
    for (const id of await records.list('share')) {
      const stored = await unlessDamaged(() => readShare(id))
      stored?.share?.destroy()
      const owner = stored?.certificate ?? (await readSharing(id))?.certificate
      if (owner !== undefined && equalBytes(certificateNames(owner).keyId, keyId)) await records.erase('share', id)
    }
  }

  return {
    async load() {
      const damaged: DamagedRecord[] = []
      const collect = async <T>(kind: RecordKind, readOne: (id: string) => Promise<T | undefined>): Promise<T[]> => {
        const found: T[] = []
        for (const id of await records.list(kind)) {
          try {
            const one = await readOne(id)
            if (one !== undefined) found.push(one)
          } catch (error) {
            damaged.push({ kind, id, code: damageCode(error) })
          }
        }
        return found
      }
      const destroyed = await collect('destroyed', (id) =>
        read(records, 'destroyed', id, (record) => decodeDestroyed(id, record)),
      )
      // A damaged order destroys all the same: its id names the key.
      for (const id of await records.list('destroyed'))
        await eraseSharesOf(Buffer.from(id, 'hex') as Uint8Array as KeyId)
      const sharings = await collect('sharing', readSharing)
      for (const { certificate, tombstone } of sharings)
        if (tombstone !== undefined) await records.erase('share', bytesKey(certificateNames(certificate).sharingId))
      return { sharings, shares: await collect('share', readShare), destroyed, damaged }
    },

    async putShare(entry) {
      const id = bytesKey(certificateNames(entry.certificate).sharingId)
      await requireAlive(entry.certificate, id)
      if (entry.share === undefined && (await holdsShare(id))) return
      await write('share', id, encodeShare(entry))
    },

    readShare: (sharingId) => readShare(bytesKey(sharingId)),

    async putSharing(record) {
      const id = bytesKey(certificateNames(record.certificate).sharingId)
      const known = await unlessDamaged(() => readSharing(id))
      await write('sharing', id, encodeSharingRecord({ ...record, tombstone: record.tombstone ?? known?.tombstone }))
    },

    async erase(record, tombstone) {
      const id = bytesKey(certificateNames(record.certificate).sharingId)
      await write('sharing', id, encodeSharingRecord({ ...record, tombstone }))
      await records.erase('share', id)
    },

    async destroy(key) {
      if (!(await isDestroyed(key.keyId)))
        await write(
          'destroyed',
          bytesKey(key.keyId),
          new Secret(concatBytes(u8(1), varBytes(key.order), u64(key.destroyedAtMs))),
        )
      await eraseSharesOf(key.keyId)
    },
  }
}

async function read<T>(
  records: RecordStore,
  kind: RecordKind,
  id: string,
  decode: (record: Secret) => T,
): Promise<T | undefined> {
  const record = await records.get(kind, id)
  if (record === undefined) return undefined
  try {
    return decode(record)
  } finally {
    record.destroy()
  }
}

/** u8 1 || var CERT || u8 hasShare || [share(32)], record kind `share`. */
function encodeShare({ certificate, share }: StoredShare): Secret {
  const head = concatBytes(u8(1), varBytes(certificate), u8(share === undefined ? 0 : 1))
  if (share === undefined) return new Secret(head)
  return share.use((bytes) => new Secret(concatBytes(head, bytes)))
}

/** @throws KmsError `bad-encoding`, `store-corrupt` */
export function decodeShare(id: string, record: Secret): StoredShare {
  const stored = record.use((bytes) =>
    decodeAll(bytes, 'share record', (reader) => {
      if (reader.u8('share.version') !== 1) throw storeError('store-corrupt', 'a share record is of another version')
      const certificate = reader.var(MAX_CERTIFICATE_BYTES, 'share.certificate')
      const hasShare = reader.u8('share.present') === 1
      return { certificate, share: hasShare ? new Secret(reader.take(SHARE_BYTES, 'share.share')) : undefined }
    }),
  )
  if (bytesKey(certificateNames(stored.certificate).sharingId) === id) return stored
  stored.share?.destroy()
  throw storeError('store-corrupt', 'a share record holds the certificate of another sharing')
}

/** u8 1 || var order || u64 Unix milliseconds, record kind `destroyed`. */
function decodeDestroyed(id: string, record: Secret): DestroyedKey {
  return record.use((bytes) =>
    decodeAll(bytes, 'destroyed key', (reader) => {
      if (reader.u8('destroyed.version') !== 1) throw storeError('store-corrupt', 'an order is of another version')
      const order = reader.var(MAX_ORDER_BYTES, 'destroyed.order')
      return {
        keyId: Uint8Array.from(Buffer.from(id, 'hex')) as KeyId,
        order,
        destroyedAtMs: reader.u64('destroyed.destroyedAtMs'),
      }
    }),
  )
}
