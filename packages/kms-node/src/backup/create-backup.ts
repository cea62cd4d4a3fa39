import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { KmsError } from '@tkms/dkg'
import { readJoinedCluster } from '../cluster/cluster-file.ts'
import type { NodeConfig } from '../config/types.ts'
import { isKmsError } from '../errors.ts'
import { createSigner } from '../identity/ed25519-signer.ts'
import { forgetIdentity, loadNodeIdentity } from '../identity/node-identity.ts'
import type { DamagedRecord } from '../keys/share-store.ts'
import type { Clock } from '../ports.ts'
import { nodeFileSystem } from '../store/file-system.ts'
import { createAgeEncrypter, encryptToRecipients } from './age-file.ts'
import { encodeBackupFile } from './backup-file.ts'
import { type CollectFrom, collectContents } from './collect.ts'
import { encodeContents, forgetContents } from './contents.ts'
import { backupError } from './errors.ts'

export interface CreateBackupFrom extends CollectFrom {
  readonly config: Pick<NodeConfig, 'dataDir' | 'policyFile' | 'name'>
  readonly clock: Clock
}

export interface MadeBackup {
  /** The file, at most 64 MiB. */
  readonly bytes: Uint8Array
  readonly leftOut: readonly DamagedRecord[]
}

/**
 * A backup of this node, which may run meanwhile.
 * @param recipients `age1..`, 1 to 16
 * @throws KmsError `bad-recipient`, `too-large`, `cannot-read`, `cluster-not-joined`, errors of the store
 */
export async function createBackup(from: CreateBackupFrom, recipients: readonly string[]): Promise<MadeBackup> {
  createAgeEncrypter(recipients)
  const { store, config, clock } = from
  const { config: committee, configHash } = await readJoinedCluster(store, config.dataDir)
  const identity = await loadNodeIdentity(store)
  try {
    const { contents, keys, leftOut } = await collectContents(from)
    try {
      const plaintext = encodeContents(contents)
      try {
        const sealed = await encryptToRecipients(plaintext, recipients)
        const header = {
          clusterId: committee.clusterId,
          configHash,
          publicKey: identity.publicKey,
          nodeName: config.name,
          createdAtMs: Math.max(0, Math.floor(clock.nowMs())),
          keys,
        }
        return { bytes: encodeBackupFile(createSigner(identity.seed), { header, sealed }), leftOut }
      } finally {
        plaintext.destroy()
      }
    } finally {
      forgetContents(contents)
    }
  } finally {
    forgetIdentity(identity)
  }
}

/** Mode 0600, on the disk when it resolves, never over another file. @throws KmsError `output-exists`, `cannot-write` */
export async function writeBackup(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await nodeFileSystem.writeNew(path, bytes)
    await nodeFileSystem.syncDirectory(dirname(path))
  } catch (cause) {
    if (isKmsError(cause) && causedBy(cause, 'EEXIST'))
      throw backupError('output-exists', `${path} exists: choose another name`, { cause, data: { path } })
    await rm(path, { force: true })
    throw backupError('cannot-write', `${path} cannot be written`, { cause, data: { path } })
  }
}

const causedBy = ({ data }: KmsError, errno: string): boolean => data['errno'] === errno
