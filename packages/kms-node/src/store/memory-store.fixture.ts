import { Secret } from '@tkms/dkg'
import type { RecordStore } from '../ports.ts'

/** Records in memory; a `put` takes a turn of the event loop, as a disk does. */
export function memoryStore(): RecordStore {
  const records = new Map<string, Uint8Array>()
  return {
    put: async (kind, id, plaintext) => {
      const bytes = plaintext.use((inner) => Uint8Array.from(inner))
      await new Promise((resolve) => setImmediate(resolve))
      records.set(`${kind}/${id}`, bytes)
    },
    get: async (kind, id) => {
      const bytes = records.get(`${kind}/${id}`)
      return bytes === undefined ? undefined : Secret.copyOf(bytes)
    },
    erase: async (kind, id) => void records.delete(`${kind}/${id}`),
    list: async (kind) =>
      [...records.keys()].filter((name) => name.startsWith(`${kind}/`)).map((name) => name.slice(kind.length + 1)),
  }
}
