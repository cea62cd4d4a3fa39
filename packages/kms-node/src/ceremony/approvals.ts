import { bytesKey, type CeremonySpec, ceremonyId, decodeSpec, encodeSpec, equalBytes, Secret, slotId } from '@tkms/dkg'
import type { RecordStore } from '../ports.ts'
import { ceremonyError } from './errors.ts'

/** What this node's operator agreed to: one X per (slot, attempt), never two (protocol 3). */
export interface Approvals {
  /** Durable when it resolves; the same X again is fine. @throws KmsError `slot-taken` */
  approve(spec: CeremonySpec): Promise<void>
  /** Every X approved here, decided or not. */
  list(): Promise<readonly CeremonySpec[]>
}

export function createApprovals(store: RecordStore): Approvals {
  return {
    approve: async (spec) => {
      const id = `${bytesKey(slotId(spec))}-${spec.attempt}`
      const bytes = encodeSpec(spec)
      const taken = await store.get('approval', id)
      if (taken !== undefined) {
        const same = taken.use((approved) => equalBytes(approved, bytes))
        if (same) return
        const other = bytesKey(ceremonyId(taken.use(decodeSpec)))
        throw ceremonyError('slot-taken', 'another ceremony was approved for this key and generation', {
          data: { ceremony: `0x${other}` },
        })
      }
      const record = new Secret(bytes)
      try {
        await store.put('approval', id, record)
      } finally {
        record.destroy()
      }
    },
    list: async () => {
      const specs: CeremonySpec[] = []
      for (const id of await store.list('approval')) {
        const record = await store.get('approval', id)
        if (record !== undefined) specs.push(record.use(decodeSpec))
        record?.destroy()
      }
      return specs
    },
  }
}
