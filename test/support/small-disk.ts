import { spawnSync } from 'node:child_process'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'

/** The directory as it is, on a disk of 12 MB of its own that only the process and its children see. */
const SMALL_DISK =
  'cp -a "$0" "$0.copy" && mount -t tmpfs -o size=12m,mode=700 tmpfs "$0" && cp -a "$0.copy/." "$0" && exec "$@"'

/** Whether disks can be mounted here. */
export const canMount = (): boolean =>
  spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir()]).status === 0

/** Put before a command, it runs with the directory on a small disk. */
export const onSmallDisk = (directory: string): readonly string[] => [
  'unshare',
  '-rm',
  'sh',
  '-c',
  SMALL_DISK,
  directory,
]

/** Where a file of a process's own disks is seen from here. */
export const seenThrough = (pid: number, path: string): string => `/proc/${pid}/root${path}`

/** Writes a new file until the disk takes not one byte more. */
export async function fillDisk(path: string): Promise<void> {
  const file = await open(path, 'w')
  try {
    for (const length of [65_536, 512, 1])
      for (;;) {
        const written = await file.write(new Uint8Array(length)).catch((cause: unknown) => cause)
        if (written instanceof Error && 'code' in written && written.code === 'ENOSPC') break
        if (written instanceof Error) throw written
      }
  } finally {
    await file.close()
  }
}
