import { bytesToHex, concatBytes } from '@noble/hashes/utils.js'
import { decodeAll, MAX_CERTIFICATE_BYTES, Secret, u8, varBytes } from '@tkms/dkg'
import { certifiedSharing } from '../cluster/cluster-file.ts'
import type { RecordStore } from '../ports.ts'
import { storeError } from './errors.ts'

const SHARE_BYTES = 32

export interface StoredShare {
  /** CERT, as it was put: verify it before use. */
  readonly certificate: Uint8Array
  /** 32 bytes; undefined while this node waits to be repaired. */
  readonly share: Secret | undefined
}

/** The node's key shares, each with the certificate it belongs to, named by sharingId. */
export interface ShareStore {
  /** Durable when it resolves. Replaces what was stored for the same sharing, but never a share by none. @throws KmsError of the codec or the store */
  put(entry: StoredShare): Promise<void>
  /** All of them; the caller destroys the shares. @throws KmsError of the codec or the store */
  list(): Promise<readonly StoredShare[]>
}

/** u8 1 || var CERT || u8 hasShare || [share(32)], one record of kind `share` per sharing. */
export function createShareStore(records: RecordStore): ShareStore {
  return {
    async put(entry) {
      const id = bytesToHex(certifiedSharing(entry.certificate))
      if (entry.share === undefined && (await holdsShare(records, id))) return
      const encoded = encodeEntry(entry)
      try {
        await records.put('share', id, encoded)
      } finally {
        encoded.destroy()
      }
    },
    async list() {
      const entries: StoredShare[] = []
      for (const id of await records.list('share')) {
        const record = await records.get('share', id)
        if (record === undefined) continue
        try {
          entries.push(decodeEntry(record))
        } finally {
          record.destroy()
        }
      }
      return entries
    },
  }
}

async function holdsShare(records: RecordStore, id: string): Promise<boolean> {
  const record = await records.get('share', id)
  if (record === undefined) return false
  try {
    const { share } = decodeEntry(record)
    share?.destroy()
    return share !== undefined
  } finally {
    record.destroy()
  }
}

function encodeEntry({ certificate, share }: StoredShare): Secret {
  const head = concatBytes(u8(1), varBytes(certificate), u8(share === undefined ? 0 : 1))
  if (share === undefined) return new Secret(head)
  return share.use((bytes) => new Secret(concatBytes(head, bytes)))
}

function decodeEntry(record: Secret): StoredShare {
  return record.use((bytes) =>
    decodeAll(bytes, 'share record', (reader) => {
      if (reader.u8('share.version') !== 1) throw storeError('store-corrupt', 'a share record is of another version')
      const certificate = reader.var(MAX_CERTIFICATE_BYTES, 'share.certificate')
      const hasShare = reader.u8('share.present') === 1
      return { certificate, share: hasShare ? new Secret(reader.take(SHARE_BYTES, 'share.share')) : undefined }
    }),
  )
}
