import { join } from 'node:path'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { u8, varBytes } from '@tkms/dkg'
import type { RecordKind } from '../ports.ts'
import { storeError } from './errors.ts'
import type { FileSystem } from './file-system.ts'
import type { Keyring } from './keyring.ts'

export const KEYRING_FILE = 'keyring'
export const LOCK_FILE = 'lock'
const RECORD_FILE = /^[0-9a-f]{32}\.record$/
const TEMPORARY_FILE = /\.tmp$/

/** "TKMS/1/record" || 0 || store id || var kind || var id (protocol 5: a record opens only in its own place). */
export const recordAad = (storeId: Uint8Array, kind: RecordKind, id: string): Uint8Array =>
  concatBytes(utf8ToBytes('TKMS/1/record'), u8(0), storeId, varBytes(utf8ToBytes(kind)), varBytes(utf8ToBytes(id)))

/**
 * Refuses an entry that others may read, that another user owns, or that is a symbolic link.
 * @throws KmsError `store-permissions`, `store-corrupt`
 */
export async function requirePrivate(fileSystem: FileSystem, path: string, kind: 'file' | 'directory'): Promise<void> {
  const facts = await fileSystem.inspect(path)
  if (facts?.kind !== kind) throw storeError('store-corrupt', `not a ${kind} of the store`, { data: { path } })
  if ((facts.mode & 0o077) !== 0 || !facts.own)
    throw storeError('store-permissions', `others have access to this ${kind} of the store, or own it`, {
      data: { path, mode: facts.mode.toString(8).padStart(4, '0') },
    })
}

/**
 * Removes every record file and temporary file that the keyring does not name: what a crash left behind. A file that it names and that
 * is missing is noticed by who reads the record: one lost record is no reason to lose the others.
 * @throws KmsError `store-permissions`, `store-corrupt`
 */
export async function removeOrphans(fileSystem: FileSystem, directory: string, keyring: Keyring): Promise<void> {
  const names = await fileSystem.list(directory)
  const present = new Set(names)
  const current = new Set([...keyring.values()].map((entry) => `${entry.file}.record`))
  for (const name of current) {
    if (present.has(name)) await requirePrivate(fileSystem, join(directory, name), 'file')
  }
  const orphans = names.filter((name) => TEMPORARY_FILE.test(name) || (RECORD_FILE.test(name) && !current.has(name)))
  for (const name of orphans) await fileSystem.unlink(join(directory, name))
  if (orphans.length > 0) await fileSystem.syncDirectory(directory)
}
