import { closeSync, constants, openSync } from 'node:fs'
import { resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { storeError } from './errors.ts'

export interface StoreLock {
  release(): void
}

/**
 * What this process holds. A handle that nobody keeps would be collected, and its lock with it; and closing any other descriptor of a
 * file ends this process's lock on it (POSIX), so a path that is held is not opened again.
 */
const held = new Map<string, DatabaseSync>()

const locked = (path: string, cause?: unknown): Error =>
  storeError('store-locked', 'another process uses this data directory: is its node running?', {
    cause,
    data: { path },
    retryable: true,
  })

/**
 * Holds `path` for this process alone. It is SQLite's exclusive file lock, which belongs to the kernel: it ends with the process,
 * however that ends, so nothing stale is ever left behind, and two containers with equal process numbers still exclude each other.
 * @throws KmsError `store-locked` when another process, or another store in this one, holds it
 */
export function acquireLock(path: string): StoreLock {
  const name = resolve(path)
  if (held.has(name)) throw locked(path)
  closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600))
  const database = new DatabaseSync(path)
  try {
    database.exec('PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    throw locked(path, cause)
  }
  held.set(name, database)
  return {
    release: () => {
      if (held.get(name) !== database) return
      held.delete(name)
      database.close()
    },
  }
}
