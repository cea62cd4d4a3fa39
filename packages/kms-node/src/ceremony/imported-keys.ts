import { bytesKey, type CeremonySpec, ceremonyId, type Secret } from '@tkms/dkg'
import type { RecordStore } from '../ports.ts'

/** The keys that this node brings to a committee: sealed until their certificate is there, then erased (protocol 13 f). */
export interface ImportedKeys {
  /** Durable when it resolves. `key` (32 bytes) is borrowed. */
  keep(spec: CeremonySpec, key: Secret): Promise<void>
  /** The caller destroys it. */
  read(spec: CeremonySpec): Promise<Secret | undefined>
  erase(spec: CeremonySpec): Promise<void>
}

const recordId = (spec: CeremonySpec): string => `${bytesKey(ceremonyId(spec))}.import`

export function createImportedKeys(store: RecordStore): ImportedKeys {
  return {
    keep: (spec, key) => store.put('ceremony', recordId(spec), key),
    read: (spec) => store.get('ceremony', recordId(spec)),
    erase: (spec) => store.erase('ceremony', recordId(spec)),
  }
}
