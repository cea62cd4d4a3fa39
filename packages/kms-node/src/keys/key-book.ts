import { bytesKey, equalBytes, type KeyId, type SharingId, type VerifiedKey } from '@tkms/dkg'
import type { KnownSharing } from './known-sharing.ts'
import { laterFirst } from './life.ts'
import type { DestroyedKey } from './share-store.ts'

/** One key of the cluster: everything certified of it that this node knows. */
export interface BookEntry {
  readonly keyId: KeyId
  /** The latest sharing first; none where only the order to destroy the key is known. */
  readonly sharings: readonly KnownSharing[]
  readonly destroyed: DestroyedKey | undefined
}

/** What this node knows of the cluster's keys, in memory: a mirror of its store. */
export interface KeyBook {
  list(): readonly BookEntry[]
  get(keyId: KeyId): BookEntry | undefined
  sharing(sharingId: SharingId): KnownSharing | undefined
  /** Adds it, or takes the place of what was known of the same sharing. */
  put(sharing: KnownSharing): void
  destroy(key: DestroyedKey): void
}

export function createKeyBook(): KeyBook {
  const entries = new Map<string, BookEntry>()
  const entryOf = (keyId: KeyId): BookEntry =>
    entries.get(bytesKey(keyId)) ?? { keyId, sharings: [], destroyed: undefined }
  return {
    list: () => [...entries.values()].toSorted(byName),
    get: (keyId) => entries.get(bytesKey(keyId)),
    sharing: (sharingId) =>
      [...entries.values()].flatMap(({ sharings }) => sharings).find(({ key }) => equalBytes(key.sharingId, sharingId)),
    put: (sharing) => {
      const entry = entryOf(sharing.key.keyId)
      const others = entry.sharings.filter(({ key }) => !equalBytes(key.sharingId, sharing.key.sharingId))
      entries.set(bytesKey(entry.keyId), { ...entry, sharings: [sharing, ...others].toSorted(laterFirst) })
    },
    destroy: (key) => void entries.set(bytesKey(key.keyId), { ...entryOf(key.keyId), destroyed: key }),
  }
}

/** By name, purpose and generation; keys of which only the order is known come last. */
const byName = (left: BookEntry, right: BookEntry): number => {
  const [one, other] = [nameOf(left), nameOf(right)]
  return one < other ? -1 : one > other ? 1 : 0
}

function nameOf({ keyId, sharings: [latest] }: BookEntry): string {
  if (latest === undefined) return `~${bytesKey(keyId)}`
  const { keyName, purpose, generation } = latest.key
  return `${keyName} ${purpose} ${String(generation).padStart(10, '0')} ${bytesKey(keyId)}`
}

/** The newest generation of a key's name that was not destroyed: the one for new encryptions. Older ones only decrypt. */
export function isNewestGeneration(
  entries: readonly BookEntry[],
  { keyName, purpose, generation }: VerifiedKey,
): boolean {
  return !entries.some(({ destroyed, sharings: [latest] }) => {
    if (destroyed !== undefined || latest === undefined) return false
    const { key } = latest
    return key.keyName === keyName && key.purpose === purpose && key.generation > generation
  })
}
