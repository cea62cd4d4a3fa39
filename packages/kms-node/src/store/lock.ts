import { closeSync, constants, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { storeError } from './errors.ts'

export interface StoreLock {
  release(): void
}

/**
 * Holds `path` for this process alone. It is SQLite's exclusive file lock, which belongs to the kernel: it ends with the process,
 * however that ends, so nothing stale is ever left behind, and two containers with equal process numbers still exclude each other.
 * @throws KmsError `store-locked` when another process, or another store in this one, holds it
 */
export function acquireLock(path: string): StoreLock {
  closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600))
  const database = new DatabaseSync(path)
  try {
    database.exec('PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    throw storeError('store-locked', 'another process uses this data directory: is its node running?', {
      cause,
      data: { path },
      retryable: true,
    })
  }
  return { release: () => database.close() }
}
