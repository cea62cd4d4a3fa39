import { rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isKmsError } from '../errors.ts'
import { type CountedHome, createCountedHome, secretOf, textOf } from './counted-store.fixture.ts'
import { storeError } from './errors.ts'
import type { FileSystem } from './file-system.ts'
import type { MemoryDisk } from './memory-disk.fixture.ts'
import { cutPower, type TestChip } from './power.fixture.ts'
import { createRecordStore, openRecordStore, type OpenRecordStore } from './record-store.ts'

let directory: string
let chip: TestChip
let disk: MemoryDisk
let options: CountedHome['options']
beforeEach(async () => {
  ;({ directory, chip, disk, options } = await createCountedHome())
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
  using((store) => store.put('share', 'a', secretOf(value)), fileSystem).then(
    () => true,
    () => false,
  )

const outcome = (): Promise<string | undefined> =>
  using(async (store) => textOf(await store.get('share', 'a'))).catch((cause: unknown) => {
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

  it.each(['share', 'audit'] as const)(
    'does not open what a failed write left on the disk, once a record was promised: %s',
    async (kind) => {
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
      await store.put('share', 'a', secretOf('one'))
      failing = true
      await expect(store.put('share', 'a', secretOf('given up'))).rejects.toMatchObject({ code: 'disk-full' })
      await expect(store.put('share', 'a', secretOf('given up'))).rejects.toMatchObject({ code: 'disk-full' })
      failing = false
      await store.put(kind, 'a', secretOf('two'))
      await store.close()
      const whole = disk.backup()
      disk.damage(join(directory, 'keyring'), () => left)
      await expect(openRecordStore(options(port))).rejects.toMatchObject({ code: 'rollback-detected' })
      whole()
      expect(await outcome()).toBe(kind === 'share' ? 'two' : 'one')
    },
  )

  it('goes no further when something else counts with its counter', async () => {
    await (await createRecordStore(options())).close()
    const store = await openRecordStore(options())
    chip.value++
    await expect(store.put('share', 'a', secretOf('one'))).rejects.toMatchObject({ code: 'rollback-detected' })
    await expect(store.get('share', 'a')).rejects.toMatchObject({ code: 'store-failed' })
    await store.close()
  })
})
