import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '@tkms/dkg'
import { createKeySealer } from '../seal/key-sealer.ts'
import { createSaltedKeys } from '../seal/salted-keys.ts'
import { systemRng } from '../system.ts'
import type { FileSystem } from './file-system.ts'
import { createMemoryDisk, type MemoryDisk } from './memory-disk.fixture.ts'
import { createTestChip, type TestChip } from './power.fixture.ts'
import type { RecordStoreOptions } from './record-store.ts'

export const secretOf = (text: string): Secret => Secret.copyOf(Buffer.from(text))
export const textOf = (value: Secret | undefined): string | undefined =>
  value?.use((bytes) => Buffer.from(bytes).toString())

/** What a store on a disk in memory needs whose sealer has a chip's counter. */
export interface CountedHome {
  /** The lock is a real file in it; all else is on the disk in memory. For the caller to remove. */
  readonly directory: string
  readonly chip: TestChip
  readonly disk: MemoryDisk
  options(fileSystem?: FileSystem): RecordStoreOptions
}

export async function createCountedHome(): Promise<CountedHome> {
  const directory = await mkdtemp(join(tmpdir(), 'tkms-counted-'))
  const chip = createTestChip(41)
  const disk = createMemoryDisk()
  await disk.fileSystem.makeDirectory(directory)
  const root = systemRng.bytes(32)
  const keys = createSaltedKeys('kms-file', async () => Secret.copyOf(root), systemRng)
  const sealer = { ...createKeySealer(keys, systemRng), counter: chip.counter }
  const clock = { monotonicMs: () => 0 }
  const options = (fileSystem: FileSystem = disk.fileSystem): RecordStoreOptions => ({
    directory,
    sealer,
    rng: systemRng,
    fileSystem,
    clock,
  })
  return { directory, chip, disk, options }
}
