import { join } from 'node:path'
import { bytesKey, type Curve, equalBytes, type VerifiedKey } from '@tkms/dkg'
import { clusterPath } from '../cluster/cluster-file.ts'
import { NODE_CONFIG_FILE } from '../config/node-config.ts'
import type { NodeConfig } from '../config/types.ts'
import { isKmsError } from '../errors.ts'
import { readBounded } from '../files.ts'
import { damageCode } from '../keys/damage.ts'
import { recallKey } from '../keys/known-sharing.ts'
import { laterFirst } from '../keys/life.ts'
import type { DamagedRecord } from '../keys/share-store.ts'
import { decodeShare } from '../keys/share-store.ts'
import { decodeSharingRecord } from '../keys/sharing-record.ts'
import type { RecordStore } from '../ports.ts'
import type { BackedUpKey } from './backup-file.ts'
import {
  BACKED_UP,
  type BackedUpFile,
  type BackedUpKind,
  type BackupContents,
  type BackupRecord,
  forgetContents,
  MAX_BACKED_UP_FILE_BYTES,
} from './contents.ts'
import { backupError } from './errors.ts'

export interface Collected {
  readonly contents: BackupContents
  /** Ascending by keyId. */
  readonly keys: readonly BackedUpKey[]
  /** Records that do not open or do not hold, and so are not in it. */
  readonly leftOut: readonly DamagedRecord[]
}

export interface CollectFrom {
  readonly store: RecordStore
  readonly config: Pick<NodeConfig, 'dataDir' | 'policyFile'>
  readonly curve: Curve
}

/** Without one of these a node cannot run. */
const NEEDED: readonly BackedUpKind[] = ['identity', 'node-seed', 'tls', 'pin']
/** Read by rules of their own. */
const KEY_KINDS = new Set<BackedUpKind>(['sharing', 'share', 'destroyed'])

/**
 * What goes into a backup. The store may be written meanwhile: sharings are read before shares, so that a share is never missing for a
 * certificate that came between the two, and promises after both, so that a backup never promises less than its shares were made with.
 * @throws KmsError `cannot-read`, errors of the store
 */
export async function collectContents(from: CollectFrom): Promise<Collected> {
  const { store } = from
  const records: BackupRecord[] = []
  const leftOut: DamagedRecord[] = []
  try {
    const read = async (kind: BackedUpKind): Promise<BackupRecord[]> => {
      const found: BackupRecord[] = []
      for (const id of await store.list(kind)) {
        try {
          const value = await store.get(kind, id)
          if (value !== undefined) found.push({ kind, id, value })
        } catch (cause) {
          if (NEEDED.includes(kind)) throw cause
          leftOut.push({ kind, id, code: damageCode(cause) })
        }
      }
      records.push(...found)
      return found
    }
    const sharings = await read('sharing')
    const shares = await read('share')
    const destroyed = await read('destroyed')
    const active = activeShares(from.curve, { sharings, shares, destroyed }, leftOut)
    for (const kind of kinds) if (!KEY_KINDS.has(kind)) await read(kind)
    const kept = records.filter((record) => record.kind !== 'share' || active.has(record))
    forgetContents({ records: records.filter((record) => !kept.includes(record)) })
    const contents = { records: kept, files: await readFiles(from.config) }
    return { contents, keys: [...active.values()].toSorted(byKeyId), leftOut }
  } catch (cause) {
    forgetContents({ records })
    throw cause
  }
}

const kinds = Object.keys(BACKED_UP) as readonly BackedUpKind[]

const byKeyId = (left: BackedUpKey, right: BackedUpKey): number =>
  bytesKey(left.keyId) < bytesKey(right.keyId) ? -1 : 1

interface KeyRecords {
  readonly sharings: readonly BackupRecord[]
  readonly shares: readonly BackupRecord[]
  readonly destroyed: readonly BackupRecord[]
}

/** The shares of the latest sharing of each key that is neither erased nor destroyed. What retires may only be erased. */
function activeShares(
  curve: Curve,
  { sharings, shares, destroyed }: KeyRecords,
  leftOut: DamagedRecord[],
): ReadonlyMap<BackupRecord, BackedUpKey> {
  const attempt = <T>({ kind, id }: BackupRecord, decode: () => T): T | undefined => {
    try {
      return decode()
    } catch (cause) {
      if (!isKmsError(cause)) throw cause
      leftOut.push({ kind, id, code: cause.code })
      return undefined
    }
  }
  const known: { readonly key: VerifiedKey; readonly erased: boolean; readonly id: string }[] = []
  const damagedSharings = new Set(leftOut.flatMap(({ kind, id }) => (kind === 'sharing' ? [id] : [])))
  for (const record of sharings) {
    const found = attempt(record, () => {
      const { certificate, tombstone } = decodeSharingRecord(record.value)
      return { key: recallKey({ curve }, certificate), erased: tombstone !== undefined, id: record.id }
    })
    if (found === undefined) damagedSharings.add(record.id)
    else known.push(found)
  }
  const held = shares.flatMap((record) => {
    // It could be an erased one: nobody knows without the record of its sharing.
    if (damagedSharings.has(record.id)) return []
    const found = attempt(record, () => {
      const { certificate, share } = decodeShare(record.id, record.value)
      share?.destroy()
      return { record, key: recallKey({ curve }, certificate), hasShare: share !== undefined }
    })
    return found === undefined ? [] : [found]
  })
  const isDestroyed = ({ keyId }: VerifiedKey): boolean => destroyed.some(({ id }) => id === bytesKey(keyId))
  const isErased = (id: string): boolean => known.some((sharing) => sharing.id === id && sharing.erased)
  const all = [...known, ...held].map(({ key }) => key)
  const latestOf = (key: VerifiedKey): VerifiedKey | undefined =>
    all.filter(({ keyId }) => equalBytes(keyId, key.keyId)).toSorted(laterFirst)[0]
  const active = held.filter(
    ({ record, key, hasShare }) =>
      hasShare &&
      !isDestroyed(key) &&
      !isErased(record.id) &&
      equalBytes(latestOf(key)?.sharingId ?? new Uint8Array(), key.sharingId),
  )
  return new Map(active.map(({ record, key }) => [record, describe(key)]))
}

const describe = ({ keyId, keyName, generation, epoch, attempt, sharingId }: VerifiedKey): BackedUpKey => ({
  keyId,
  keyName,
  generation,
  epoch,
  attempt,
  sharingId,
})

async function readFiles({ dataDir, policyFile }: CollectFrom['config']): Promise<BackupContents['files']> {
  const paths: readonly (readonly [BackedUpFile, string])[] = [
    ['node.yaml', join(dataDir, NODE_CONFIG_FILE)],
    ['cluster.json', clusterPath(dataDir)],
    ['policy.yaml', policyFile],
    ['card.json', join(dataDir, 'card.json')],
    ['tls.crt', join(dataDir, 'tls.crt')],
  ]
  const files = new Map<BackedUpFile, Uint8Array>()
  for (const [name, path] of paths) {
    const bytes = await readBounded(path, MAX_BACKED_UP_FILE_BYTES).catch((cause: unknown) => {
      throw backupError('cannot-read', `${path} cannot be read`, { cause, data: { path } })
    })
    if (bytes !== undefined) files.set(name, bytes.slice())
  }
  return files
}
