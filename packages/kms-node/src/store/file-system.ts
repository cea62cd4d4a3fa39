import { constants } from 'node:fs'
import { lstat, mkdir, open, readdir, rename, unlink } from 'node:fs/promises'
import { storeError } from './errors.ts'

export interface FileFacts {
  readonly kind: 'file' | 'directory' | 'other'
  /** Permission bits, 0..0o777. */
  readonly mode: number
  /** Owned by the user this process runs as. */
  readonly own: boolean
  readonly bytes: number
}

/** The few steps on disk that the record store is made of, one system call each, so that a test can stop between any two. */
export interface FileSystem {
  /** Creates a directory with mode 0700, and its parents. */
  readonly makeDirectory: (path: string) => Promise<void>
  readonly list: (directory: string) => Promise<readonly string[]>
  /** Facts about the entry itself: a symbolic link is `other`. `undefined` when there is none. */
  readonly inspect: (path: string) => Promise<FileFacts | undefined>
  /** @throws KmsError `store-corrupt` above `maxBytes` */
  readonly read: (path: string, maxBytes: number) => Promise<Uint8Array>
  /** Creates a file that must not exist, mode 0600; resolves when its bytes are on the disk. */
  readonly writeNew: (path: string, bytes: Uint8Array) => Promise<void>
  /** Replaces `to` atomically. Durable after `syncDirectory`. */
  readonly rename: (from: string, to: string) => Promise<void>
  readonly unlink: (path: string) => Promise<void>
  readonly syncDirectory: (path: string) => Promise<void>
}

/** The file system of this machine. Every method throws KmsError `disk-full`, `store-io` or `store-corrupt`. */
export const nodeFileSystem: FileSystem = {
  makeDirectory: (path) =>
    typed('make a directory', () => mkdir(path, { recursive: true, mode: 0o700 })).then(() => undefined),
  list: (directory) => typed('list a directory', () => readdir(directory)),
  inspect: (path) => typed('inspect a file', () => inspect(path)),
  read: (path, maxBytes) => typed('read a file', () => read(path, maxBytes)),
  writeNew: (path, bytes) => typed('write a file', () => writeNew(path, bytes)),
  rename: (from, to) => typed('rename a file', () => rename(from, to)),
  unlink: (path) => typed('remove a file', () => unlink(path)),
  syncDirectory: (path) => typed('sync a directory', () => syncDirectory(path)),
}

async function inspect(path: string): Promise<FileFacts | undefined> {
  try {
    const facts = await lstat(path)
    const kind = facts.isFile() ? 'file' : facts.isDirectory() ? 'directory' : 'other'
    return { kind, mode: facts.mode & 0o777, own: facts.uid === process.getuid?.(), bytes: facts.size }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

async function read(path: string, maxBytes: number): Promise<Uint8Array> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const { size } = await handle.stat()
    if (size > maxBytes) throw storeError('store-corrupt', 'a file of the store is longer than any it writes')
    const bytes = new Uint8Array(size)
    const { bytesRead } = await handle.read(bytes, 0, size, 0)
    if (bytesRead !== size) throw storeError('store-corrupt', 'a file of the store ends too early')
    return bytes
  } finally {
    await handle.close()
  }
}

async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

const errnoOf = (error: unknown): unknown =>
  typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined

async function typed<T>(action: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (cause) {
    const errno = errnoOf(cause)
    if (errno === 'ENOSPC' || errno === 'EDQUOT')
      throw storeError('disk-full', `the disk is full: could not ${action}`, { cause, retryable: true })
    if (errno === 'store-corrupt') throw cause
    throw storeError('store-io', `could not ${action}`, { cause, data: { errno: String(errno) } })
  }
}
