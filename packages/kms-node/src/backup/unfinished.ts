import { randomUUID } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { isKmsError } from '../errors.ts'
import type { Sealer } from '../ports.ts'
import { LOCK_FILE } from '../store/directory.ts'
import { nodeFileSystem } from '../store/file-system.ts'
import { acquireLock } from '../store/lock.ts'
import { COUNTER_NOTE, discardCounter } from '../store/new-counter.ts'
import { storeDirectory } from '../system.ts'

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
const isUnfinished = (directory: string, name: string): boolean => {
  const middle = name.slice(basename(directory).length + 2, -'.restoring'.length)
  return name === `.${basename(directory)}.${middle}.restoring` && new RegExp(`^${UUID}$`).test(middle)
}

/** Where a data directory is made before it is moved into its place. */
export const unfinishedPath = (directory: string): string =>
  join(dirname(directory), `.${basename(directory)}.${randomUUID()}.restoring`)

/** Removes a data directory that was not finished, and the counter that its sealer keeps elsewhere. @throws KmsError of the sealer */
export async function removeUnfinished(temporary: string, { counter }: Pick<Sealer, 'counter'>): Promise<void> {
  const directory = storeDirectory(temporary)
  await discardCounter({ counter, fileSystem: nodeFileSystem, directory })
  await rm(temporary, { recursive: true, force: true })
}

/**
 * Removes what earlier restores into `directory` left behind when they were cut short. One that still runs is left alone, and so is one
 * whose counter another sealer keeps.
 */
export async function removeEarlier(
  directory: string,
  sealer: Pick<Sealer, 'counter'>,
  onWarning: (warning: string) => void,
): Promise<void> {
  const names = (await readdir(dirname(directory))).filter((name) => isUnfinished(directory, name))
  for (const name of names) {
    const temporary = join(dirname(directory), name)
    const store = storeDirectory(temporary)
    if ((await nodeFileSystem.inspect(store)) === undefined) continue
    const hasNote = (await nodeFileSystem.inspect(join(store, COUNTER_NOTE))) !== undefined
    if (hasNote && sealer.counter === undefined) {
      onWarning(
        `${temporary}, of a restore that was cut short, has a counter in the TPM: restore with tpm2 to remove both`,
      )
      continue
    }
    try {
      const lock = acquireLock(join(store, LOCK_FILE))
      try {
        await removeUnfinished(temporary, sealer)
      } finally {
        lock.release()
      }
    } catch (cause) {
      if (!isKmsError(cause) || cause.code !== 'store-locked') throw cause
    }
  }
}
