import { join } from 'node:path'
import type { MonotonicCounter } from '../ports.ts'
import { removeOrphans, requirePrivate } from './directory.ts'
import type { FileSystem } from './file-system.ts'

/** Beside a store that was never opened: what its counter is found by. A temporary file, so the first opening removes it. */
export const COUNTER_NOTE = 'counter.tmp'
const MAX_NOTE_BYTES = 64

export interface CounterHome {
  /** Undefined where the sealer has none. */
  readonly counter: MonotonicCounter | undefined
  readonly fileSystem: FileSystem
  /** Of the store; its lock is held. */
  readonly directory: string
}

/**
 * Clears a directory that has no keyring of what an earlier call left behind, its counter with it, and makes the counter of the new
 * store, with a note of it: until there is a keyring nothing else says whose it is.
 * @throws KmsError of the sealer, `store-io`, `store-permissions`
 */
export async function prepareCounter(home: CounterHome): Promise<void> {
  const { counter, fileSystem, directory } = home
  const path = join(directory, COUNTER_NOTE)
  await discardCounter(home)
  await removeOrphans(fileSystem, directory, new Map())
  await counter?.create(async (place) => {
    if ((await fileSystem.inspect(path)) !== undefined) await fileSystem.unlink(path)
    await fileSystem.writeNew(path, place)
    await fileSystem.syncDirectory(directory)
  })
}

/**
 * Removes the counter of a store that never came to be, if there is a note of one, and the note.
 * @throws KmsError of the sealer, `store-io`, `store-permissions`
 */
export async function discardCounter({ counter, fileSystem, directory }: CounterHome): Promise<void> {
  const path = join(directory, COUNTER_NOTE)
  if (counter === undefined || (await fileSystem.inspect(path)) === undefined) return
  await requirePrivate(fileSystem, path, 'file')
  await counter.discard(await fileSystem.read(path, MAX_NOTE_BYTES))
  await fileSystem.unlink(path)
  await fileSystem.syncDirectory(directory)
}
