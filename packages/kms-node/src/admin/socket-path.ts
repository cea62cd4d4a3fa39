import { chmod, lstat, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KmsError } from '@tkms/dkg'
import { readBounded, replaceFile } from '../files.ts'

/** `sockaddr_un` holds 108 bytes on Linux and 104 on macOS, the last one zero. */
const MAX_SOCKET_PATH_BYTES = process.platform === 'linux' ? 107 : 103

const fits = (path: string): boolean => Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES
/** Names the socket of the running node, wherever it is. */
const pointer = (dataDir: string): string => join(dataDir, 'admin.path')

export interface SocketPlace {
  readonly path: string
  /** Removes what belongs to it. */
  release(): Promise<void>
}

/**
 * Where the admin socket goes: where the configuration says, or, when that is too long for the system, in a private directory
 * under the temporary one. `admin.path` in the data directory tells the CLI which.
 * @throws KmsError `socket-path-too-long` when the temporary directory is no shorter, `socket-path-taken` by anything but a socket
 */
export async function placeSocket(dataDir: string, configured: string): Promise<SocketPlace> {
  const directory = fits(configured) ? undefined : await mkdtemp(join(tmpdir(), 'tkms-'))
  const path = directory === undefined ? configured : join(directory, 'admin.sock')
  if (!fits(path))
    throw new KmsError(
      'socket-path-too-long',
      'the path of the admin socket is too long for this system: set adminSocket',
      {
        data: { path, maxBytes: MAX_SOCKET_PATH_BYTES },
      },
    )
  if (directory !== undefined) await chmod(directory, 0o700)
  await removeStaleSocket(path)
  await replaceFile(pointer(dataDir), `${path}\n`)
  return {
    path,
    release: async () => {
      await rm(path, { force: true })
      if (directory !== undefined) await rm(directory, { recursive: true, force: true })
      await rm(pointer(dataDir), { force: true })
    },
  }
}

/** Only a socket is removed: a mistaken path must not cost a file. */
async function removeStaleSocket(path: string): Promise<void> {
  const there = await lstat(path).catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw cause
  })
  if (there === undefined) return
  if (!there.isSocket())
    throw new KmsError('socket-path-taken', 'there is something else where the admin socket goes: set adminSocket', {
      data: { path },
    })
  await rm(path)
}

/** The socket of the node that runs on this data directory. @throws KmsError `node-not-running` */
export async function findSocket(dataDir: string): Promise<string> {
  const text = await readBounded(pointer(dataDir), 4096)
  if (text === undefined)
    throw new KmsError('node-not-running', `no node runs on ${dataDir}: give --data-dir, or run start`, {
      data: { dataDir },
    })
  return new TextDecoder().decode(text).trim()
}
