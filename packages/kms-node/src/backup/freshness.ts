import { readdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import {
  attempt,
  type Cluster,
  clusterKeys,
  configHash,
  type Curve,
  equalBytes,
  readCertificateFacts,
  type VerifiedKey,
  verifyEd25519,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import { BACKUP_HEAD_BYTES, type BackedUpKey, type BackupHeader, readBackupHeader } from './backup-file.ts'
import { backupError } from './errors.ts'
import { readFirstBytes } from './open-backup.ts'

/** Files beside the backup that are looked at. */
const MAX_SIBLINGS = 4_096

/**
 * The latest sharing of every key of a cluster file. A later committee that only a degraded AUTH leads to counts: t members of the one
 * before said so, which is reason enough not to restore a share of it.
 * @throws KmsError `bad-certificate`
 */
export function latestKeys(curve: Curve, cluster: Cluster): readonly VerifiedKey[] {
  const accepted = cluster.certificates.flatMap(
    (bytes) => attempt(() => configHash(readCertificateFacts(curve, bytes).key.config)) ?? [],
  )
  return clusterKeys(curve, verifyEd25519, cluster, accepted)
}

/** A share of the backup that the cluster has left behind. */
export interface OutdatedShare {
  readonly key: BackedUpKey
  /** The epoch of the certificate that was seen. */
  readonly latestEpoch: number
}

/** The shares whose key has a later sharing by certificates that hold; a file of which one does not hold proves nothing. */
export function outdatedShares(
  curve: Curve,
  keys: readonly BackedUpKey[],
  files: readonly Cluster[],
): readonly OutdatedShare[] {
  const latest = files.flatMap((file) => attempt(() => latestKeys(curve, file)) ?? [])
  return keys.flatMap((key) => {
    const later = latest.filter((found) => equalBytes(found.keyId, key.keyId) && isLater(found, key))
    return later.length === 0 ? [] : [{ key, latestEpoch: Math.max(...later.map(({ epoch }) => epoch)) }]
  })
}

const isLater = (found: VerifiedKey, key: BackedUpKey): boolean =>
  found.epoch > key.epoch || (found.epoch === key.epoch && found.attempt > key.attempt)

/**
 * A newer backup of the same node in the same directory: it knows of promises that this one does not.
 * @throws KmsError `backup-outdated`, `cannot-read`
 */
export async function requireNewest(path: string, header: BackupHeader): Promise<void> {
  const directory = dirname(resolve(path))
  const entries = await readdir(directory, { withFileTypes: true }).catch((cause: unknown) => {
    throw backupError('cannot-read', `${directory} cannot be read`, { cause, data: { path: directory } })
  })
  for (const entry of entries.filter((found) => found.isFile()).slice(0, MAX_SIBLINGS)) {
    const other = join(directory, entry.name)
    const found = await headerOf(other)
    if (found === undefined || !isSameNode(found, header) || found.createdAtMs <= header.createdAtMs) continue
    throw backupError(
      'backup-outdated',
      `${other} is a newer backup of ${header.nodeName}: restore that one, or move it away if it is damaged`,
      { data: { newer: other } },
    )
  }
}

const isSameNode = (left: BackupHeader, right: BackupHeader): boolean =>
  equalBytes(left.publicKey, right.publicKey) && equalBytes(left.configHash, right.configHash)

async function headerOf(path: string): Promise<BackupHeader | undefined> {
  try {
    return readBackupHeader(await readFirstBytes(path, BACKUP_HEAD_BYTES))
  } catch (cause) {
    // Most files beside a backup are none, or of somebody else.
    if (isKmsError(cause)) return undefined
    throw cause
  }
}
