import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '@tkms/dkg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RecordKind, Sealer } from '../ports.ts'
import { createKeyFileSealer } from '../seal/key-file.ts'
import { systemRng } from '../system.ts'
import { type FileSystem, nodeFileSystem } from './file-system.ts'
import { createTestChip, cutPower, powerGone, type TestChip } from './power.fixture.ts'
import { createRecordStore, openRecordStore, type OpenRecordStore } from './record-store.ts'

const HOUR_MS = 3_600_000
const secret = (text: string): Secret => Secret.copyOf(Buffer.from(text))
const text = (value: Secret | undefined): string | undefined => value?.use((bytes) => Buffer.from(bytes).toString())

let parent: string
let directory: string
let chip: TestChip
let nowMs: number
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'tkms-rollback-'))
  directory = join(parent, 'store')
  chip = createTestChip(41)
  nowMs = 0
})
afterEach(() => rm(parent, { recursive: true }))

const counted = (): Sealer => ({ ...createKeyFileSealer(join(parent, 'key'), systemRng), counter: chip.counter })
const options = (sealer: Sealer = counted(), fileSystem: FileSystem = nodeFileSystem) => ({
  directory,
  sealer,
  rng: systemRng,
  fileSystem,
  clock: { monotonicMs: () => nowMs },
})
const open = (fileSystem?: FileSystem): Promise<OpenRecordStore> => openRecordStore(options(counted(), fileSystem))

async function change(kind: RecordKind, value: string): Promise<void> {
  const store = await open()
  await store.put(kind, 'a', secret(value))
  await store.close()
}

async function promise(value: string, fileSystem?: FileSystem): Promise<void> {
  const store = await open(fileSystem)
  try {
    await store.put('share', 'a', secret(value))
  } finally {
    await store.close()
  }
}

async function valueOf(kind: RecordKind): Promise<string | undefined> {
  const store = await open()
  const value = text(await store.get(kind, 'a'))
  await store.close()
  return value
}

const keep = async (name: string): Promise<void> => cp(directory, join(parent, name), { recursive: true })
async function putBack(name: string): Promise<void> {
  await rm(directory, { recursive: true })
  await cp(join(parent, name), directory, { recursive: true })
}

describe('a store whose sealer has a counter', () => {
  it('opens its newest state, and no older one that was put back, which it leaves as it is', async () => {
    await (await createRecordStore(options())).close()
    await keep('empty')
    await change('share', 'one')
    await keep('one')
    await change('share', 'two')
    await keep('two')
    for (const old of ['empty', 'one']) {
      await putBack(old)
      const before = await readdir(directory)
      await expect(open()).rejects.toMatchObject({ code: 'rollback-detected', data: { counter: 47 } })
      expect(await readdir(directory)).toEqual(before)
    }
    await putBack('two')
    expect(await valueOf('share')).toBe('two')
  })

  it('refuses the copy from before an erasure', async () => {
    await (await createRecordStore(options())).close()
    await change('share', 'one')
    await keep('with the share')
    const store = await open()
    await store.erase('share', 'a')
    await store.close()
    await putBack('with the share')
    await expect(open()).rejects.toMatchObject({ code: 'rollback-detected' })
  })

  it('is refused where the counter itself was put back', async () => {
    await (await createRecordStore(options())).close()
    const { value } = chip
    await change('share', 'one')
    await change('share', 'two')
    chip.value = value
    await expect(open()).rejects.toMatchObject({ code: 'rollback-detected', data: { store: 47, counter: 41 } })
    chip.value = 46
    expect(await valueOf('share')).toBe('two')
    expect(chip.value).toBe(48)
  })

  it('is never locked out by a crash, and opens nothing old after one', async () => {
    await (await createRecordStore(options())).close()
    await change('share', 'old')
    const seen = new Set<string | undefined>()
    for (let at = 0, finished = false; !finished; at++) {
      await change('share', 'old')
      await keep(`before ${at}`)
      const port = cutPower(chip, at, nodeFileSystem)
      finished = await promise('new', port).then(
        () => port.steps <= at,
        () => false,
      )
      chip.step = () => undefined
      const value = await valueOf('share')
      seen.add(value)
      if (value === 'old') continue
      await keep(`after ${at}`)
      await putBack(`before ${at}`)
      await expect(open(), `step ${at}`).rejects.toMatchObject({ code: 'rollback-detected' })
      await putBack(`after ${at}`)
    }
    expect([...seen]).toEqual(['old', 'new'])
  })

  it('finishes a commit that was cut short before the counter counted', async () => {
    await (await createRecordStore(options())).close()
    await change('share', 'old')
    await keep('before')
    const store = await open()
    chip.step = powerGone
    await expect(store.put('share', 'a', secret('new'))).rejects.toMatchObject({ code: 'store-io' })
    await expect(store.get('share', 'a')).rejects.toMatchObject({ code: 'store-failed' })
    await store.close()
    chip.step = () => undefined
    expect(await valueOf('share')).toBe('new')
    expect(chip.value).toBe(48)
    await putBack('before')
    await expect(open()).rejects.toMatchObject({ code: 'rollback-detected' })
  })

  it('counts twice when it is opened, and what is written all the time every six hours after that', async () => {
    await (await createRecordStore(options())).close()
    const store = await open()
    for (let hour = 0; hour < 13; hour++, nowMs += HOUR_MS)
      for (const kind of ['audit', 'odometer'] as const) await store.put(kind, 'a', secret(`${hour}`))
    expect(chip.increments).toBe(4)
    for (const kind of ['ceremony', 'approval', 'destroyed'] as const) await store.put(kind, 'a', secret('x'))
    expect(chip.increments).toBe(7)
    await store.close()
    await change('audit', 'x')
    expect(chip.increments).toBe(9)
    expect(await valueOf('odometer')).toBe('12')
  })

  it('is an old copy as soon as another one was opened', async () => {
    await (await createRecordStore(options())).close()
    await change('share', 'one')
    await keep('one')
    await (await open()).close()
    await putBack('one')
    await expect(open()).rejects.toMatchObject({ code: 'rollback-detected' })
  })

  it('takes the counter back that an earlier call made before it was cut short, and no other', async () => {
    for (let at = 0, whole = false; !whole; at++) {
      const port = cutPower(chip, at, nodeFileSystem)
      const store = await createRecordStore(options(counted(), port)).catch(() => undefined)
      await store?.close()
      whole = port.steps <= at
      chip.step = () => undefined
      const made = (await readdir(directory)).includes('keyring')
      await (made ? open() : createRecordStore(options())).then((again) => again.close())
      expect(chip.made.size, `step ${at}`).toBe(1)
      await (await open()).close()
      expect(chip.made.size, `opened after step ${at}`).toBe(1)
      expect((await readdir(directory)).toSorted()).toEqual(['keyring', 'lock'])
      await rm(directory, { recursive: true })
      chip.made.clear()
    }
  })

  it('does not open without the counter, nor one without a counter with it', async () => {
    const plain = createKeyFileSealer(join(parent, 'key'), systemRng)
    await (await createRecordStore(options())).close()
    await expect(openRecordStore(options(plain))).rejects.toMatchObject({ code: 'store-corrupt' })
    await rm(directory, { recursive: true })
    await (await createRecordStore(options(plain))).close()
    await expect(open()).rejects.toMatchObject({ code: 'store-corrupt' })
  })
})
