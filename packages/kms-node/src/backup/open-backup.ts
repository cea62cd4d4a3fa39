import { open } from 'node:fs/promises'
import { type AgeIdentities, decryptWithIdentities } from './age-file.ts'
import { type BackupHeader, decodeBackupFile, MAX_BACKUP_BYTES } from './backup-file.ts'
import { type BackupContents, decodeContents } from './contents.ts'
import { backupError } from './errors.ts'

export interface OpenBackup {
  readonly header: BackupHeader
  /** The caller forgets it. */
  readonly contents: BackupContents
}

/** At most the first `maxBytes` of a file. @throws KmsError `cannot-read` */
export async function readFirstBytes(path: string, maxBytes: number): Promise<Uint8Array> {
  const unreadable = (cause?: unknown): Error =>
    backupError('cannot-read', `${path} cannot be read`, { cause, data: { path } })
  const file = await open(path).catch((cause: unknown) => {
    throw unreadable(cause)
  })
  try {
    const { size } = await file.stat()
    const buffer = new Uint8Array(Math.min(size, maxBytes))
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0)
    return buffer.subarray(0, bytesRead)
  } catch (cause) {
    throw unreadable(cause)
  } finally {
    await file.close()
  }
}

/** @throws KmsError `cannot-read`, `backup-damaged`, `backup-version`, `wrong-identity`, `identity-unreadable` */
export async function openBackup(path: string, identities: AgeIdentities): Promise<OpenBackup> {
  const { header, sealed } = decodeBackupFile(await readFirstBytes(path, MAX_BACKUP_BYTES + 1))
  const plaintext = await decryptWithIdentities(sealed, identities)
  try {
    return { header, contents: decodeContents(plaintext) }
  } finally {
    plaintext.destroy()
  }
}
