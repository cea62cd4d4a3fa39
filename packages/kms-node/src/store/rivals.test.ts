import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { Secret } from '@tkms/dkg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isKmsError } from '../errors.ts'
import { createKeySealer } from '../seal/key-sealer.ts'
import { createSaltedKeys } from '../seal/salted-keys.ts'
import { systemRng } from '../system.ts'
import { storeError } from './errors.ts'
import type { FileSystem } from './file-system.ts'
import { createMemoryDisk, type MemoryDisk } from './memory-disk.fixture.ts'
import { createTestChip, cutPower, type TestChip } from './power.fixture.ts'
import { createRecordStore, openRecordStore, type OpenRecordStore, type RecordStoreOptions } from './record-store.ts'

const secret = (text: string): Secret => Secret.copyOf(Buffer.from(text))
const text = (value: Secret | undefined): string | undefined => value?.use((bytes) => Buffer.from(bytes).toString())

let directory: string
let chip: TestChip
let disk: MemoryDisk
let options: (fileSystem?: FileSystem) => RecordStoreOptions
beforeEach(async () => {
  // The lock is a real file; all else is on the disk in memory.
  directory = await mkdtemp(join(tmpdir(), 'tkms-rivals-'))
  chip = createTestChip(41)
  disk = createMemoryDisk()
  await disk.fileSystem.makeDirectory(directory)
  const root = systemRng.bytes(32)
  const keys = createSaltedKeys('kms-file', async () => Secret.copyOf(root), systemRng)
  const sealer = { ...createKeySealer(keys, systemRng), counter: chip.counter }
  options = (fileSystem = disk.fileSystem) => ({
    directory,
    sealer,
    rng: systemRng,
    fileSystem,
    clock: { monotonicMs: () => 0 },
  })
})
afterEach(() => rm(directory, { recursive: true }))

async function using<T>(use: (store: OpenRecordStore) => Promise<T>, fileSystem?: FileSystem): Promise<T> {
  const store = await openRecordStore(options(fileSystem))
  try {
    return await use(store)
  } finally {
    await store.close()
  }
}

/** Whether the store promised to keep it. */
const promise = (value: string, fileSystem?: FileSystem): Promise<boolean> =>
  using((store) => store.put('share', 'a', secret(value)), fileSystem).then(
    () => true,
    () => false,
  )

const outcome = (): Promise<string | undefined> =>
  using(async (store) => text(await store.get('share', 'a'))).catch((cause: unknown) => {
    if (isKmsError(cause) && cause.code === 'rollback-detected') return 'refused'
    throw cause
  })

describe('keyrings that may have one count', () => {
  it('lets one of two rivals live, wherever the power goes', { timeout: 60_000 }, async () => {
    await (await createRecordStore(options())).close()
    await promise('old')
    const begin = { value: chip.value, putBack: disk.backup() }
    const cutShort = async (value: string, at: number) => {
      begin.putBack()
      const port = cutPower(chip, at, disk.fileSystem)
      const promised = await promise(value, port)
      chip.step = () => undefined
      return { promised, whole: port.steps <= at, putBack: disk.backup() }
    }

    const seen = new Set<string>()
    const wrong: string[] = []
    for (let first = 0, firstEnds = false; !firstEnds; first++) {
      for (let second = 0, secondEnds = false; !secondEnds; second++) {
        chip.value = begin.value
        const one = await cutShort('one', first)
        const two = await cutShort('two', second)
        firstEnds = one.whole
        secondEnds = two.whole
        const promised = one.promised ? 'one' : two.promised ? 'two' : undefined
        const { value } = chip
        const found: (string | undefined)[] = []
        for (const [chosen, other] of [
          [one, two],
          [two, one],
        ] as const) {
          chip.value = value
          chosen.putBack()
          const now = await outcome()
          found.push(now)
          if (now === 'refused') continue
          if (!(await promise('three'))) wrong.push(`${first}, ${second}: no promise after ${now}`)
          other.putBack()
          if ((await outcome()) !== 'refused') wrong.push(`${first}, ${second}: a rival of ${now} opens`)
        }
        const says = `${found.join(' or ')}, promised ${promised}`
        seen.add(says)
        if (promised !== undefined && found.some((each) => each !== promised && each !== 'refused')) wrong.push(says)
        if (found.every((each) => each === 'refused')) wrong.push(`${first}, ${second}: locked out`)
      }
    }
    expect(wrong).toEqual([])
    expect([...seen]).toEqual(
      expect.arrayContaining(['old or old, promised undefined', 'refused or two, promised two']),
    )
  })

  it('does not open what a failed write left on the disk, once anything else was promised', async () => {
    let failing = false
    let left: Uint8Array | undefined
    const writeNew: FileSystem['writeNew'] = async (path, bytes) => {
      await disk.fileSystem.writeNew(path, bytes)
      if (!failing || !basename(path).startsWith('keyring-')) return
      left = bytes
      throw storeError('disk-full', 'injected')
    }
    const port = { ...disk.fileSystem, writeNew }
    const store = await createRecordStore(options(port))
    await store.put('share', 'a', secret('one'))
    failing = true
    await expect(store.put('share', 'a', secret('given up'))).rejects.toMatchObject({ code: 'disk-full' })
    await expect(store.put('share', 'a', secret('given up'))).rejects.toMatchObject({ code: 'disk-full' })
    failing = false
    await store.put('share', 'a', secret('two'))
    await store.close()
    const whole = disk.backup()
    disk.damage(join(directory, 'keyring'), () => left)
    await expect(openRecordStore(options(port))).rejects.toMatchObject({ code: 'rollback-detected' })
    whole()
    expect(await outcome()).toBe('two')
  })

  it('goes no further when something else counts with its counter', async () => {
    await (await createRecordStore(options())).close()
    const store = await openRecordStore(options())
    chip.value++
    await expect(store.put('share', 'a', secret('one'))).rejects.toMatchObject({ code: 'rollback-detected' })
    await expect(store.get('share', 'a')).rejects.toMatchObject({ code: 'store-failed' })
    await store.close()
  })
})
