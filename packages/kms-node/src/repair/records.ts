import { bytesKey, Secret, type SharingId } from '@tkms/dkg'
import type { RecordStore } from '../ports.ts'

/** Snapshots of repairs in the sealed store: sharingId(32) || snapshot. */

export type RepairRole = 'recoverer' | 'helper'

export interface RepairRecord {
  readonly role: RepairRole
  /** Hex of the sharing at the recoverer, of the rid at a helper. */
  readonly id: string
  readonly sharingId: SharingId
  readonly snapshot: Secret
}

const recordId = (role: RepairRole, id: string): string => `${role}-${id}`

export interface RepairRecords {
  /** Durable when it resolves. `snapshot` is borrowed. */
  put(role: RepairRole, id: string, sharingId: SharingId, snapshot: Secret): Promise<void>
  erase(role: RepairRole, id: string): Promise<void>
  /** The snapshots are the caller's to destroy. */
  load(): Promise<readonly RepairRecord[]>
}

export function createRepairRecords(store: RecordStore): RepairRecords {
  return {
    put: async (role, id, sharingId, snapshot) => {
      const record = new Secret(snapshot.use((bytes) => Buffer.concat([sharingId, bytes])))
      try {
        await store.put('repair', recordId(role, id), record)
      } finally {
        record.destroy()
      }
    },
    erase: (role, id) => store.erase('repair', recordId(role, id)),
    load: async () => {
      const records: RepairRecord[] = []
      for (const name of await store.list('repair')) {
        const record = await store.get('repair', name)
        const [role, id] = name.split('-', 2)
        if (record === undefined || id === undefined || (role !== 'recoverer' && role !== 'helper')) continue
        const sharingId = record.use((bytes) => Uint8Array.from(bytes.subarray(0, 32))) as SharingId
        const snapshot = record.use((bytes) => Secret.copyOf(bytes.subarray(32)))
        record.destroy()
        records.push({ role, id, sharingId, snapshot })
      }
      return records
    },
  }
}

export const idOf = (bytes: Uint8Array): string => bytesKey(bytes)
