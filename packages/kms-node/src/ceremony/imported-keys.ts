import { bytesKey, type CeremonySpec, ceremonyId, type Secret } from '@tkms/dkg'
import type { RecordStore } from '../ports.ts'
import type { CeremonyStage } from './status.ts'

/** The keys that this node brings to a committee: sealed until they were dealt for good or never will be, then erased (protocol 13 f). */
export interface ImportedKeys {
  /** Durable when it resolves. `key` (32 bytes) is borrowed. */
  keep(spec: CeremonySpec, key: Secret): Promise<void>
  /** The caller destroys it. */
  read(spec: CeremonySpec): Promise<Secret | undefined>
  erase(spec: CeremonySpec): Promise<void>
  /** Erases every key but those of these ceremonies: what a crash left between a key and its approval, or its end. */
  eraseOthers(live: readonly CeremonySpec[]): Promise<void>
}

const SUFFIX = '.import'
const recordId = (spec: CeremonySpec): string => `${bytesKey(ceremonyId(spec))}${SUFFIX}`

/** The stages in which this node deals nothing any more, even where the ceremony is undecided. `failed` may go on after a restart. */
const DEALT: readonly CeremonyStage[] = ['left', 'expired', 'superseded', 'abandoned', 'complete']

/** Whether a ceremony of its importer may still need the key. */
export const mayDealImport = (stage: CeremonyStage): boolean => !DEALT.includes(stage)

export function createImportedKeys(store: RecordStore): ImportedKeys {
  return {
    keep: (spec, key) => store.put('ceremony', recordId(spec), key),
    read: (spec) => store.get('ceremony', recordId(spec)),
    erase: (spec) => store.erase('ceremony', recordId(spec)),
    eraseOthers: async (live) => {
      const needed = new Set(live.map(recordId))
      for (const id of await store.list('ceremony'))
        if (id.endsWith(SUFFIX) && !needed.has(id)) await store.erase('ceremony', id)
    },
  }
}
