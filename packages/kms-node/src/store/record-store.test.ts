import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Secret } from '@tkms/dkg'
import { createPassphraseSealer } from '../seal/passphrase-sealer.ts'
import type { Rng, Sealer } from '../ports.ts'
import { storeError } from './errors.ts'
import { type FileSystem, nodeFileSystem } from './file-system.ts'
import { createRecordStore, openRecordStore, type OpenRecordStore } from './record-store.ts'

const rng: Rng = { bytes: (length) => new Uint8Array(randomBytes(length)) }
const cheap = { logN: 10, r: 8, p: 1 }
const sealerOf = (passphrase = 'correct horse battery'): Sealer =>
  createPassphraseSealer({ passphrase: new Secret(Buffer.from(passphrase)), rng, params: cheap })
const secret = (text: string): Secret => Secret.copyOf(Buffer.from(text))
const text = (value: Secret | undefined): string | undefined => value?.use((bytes) => Buffer.from(bytes).toString())

let parent: string
let directory: string
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'tkms-store-'))
  directory = join(parent, 'store')
})
afterEach(() => rm(parent, { recursive: true }))

const create = (fileSystem: FileSystem = nodeFileSystem): Promise<OpenRecordStore> =>
  createRecordStore({ directory, sealer: sealerOf(), rng, fileSystem })
const open = (fileSystem: FileSystem = nodeFileSystem, passphrase?: string): Promise<OpenRecordStore> =>
  openRecordStore({ directory, sealer: sealerOf(passphrase), rng, fileSystem })
const recordFiles = async (): Promise<string[]> => (await readdir(directory)).filter((name) => name.endsWith('.record'))

/** Fails the step of number `at` (from 0) and, like a dead process, every one after it; or only that one. */
function failing(
  at: number,
  mode: 'crash' | 'once',
  code: 'store-io' | 'disk-full' = 'store-io',
): FileSystem & { steps: number } {
  const port = { steps: 0 }
  const guard = <A extends unknown[], T>(run: (...args: A) => Promise<T>) => {
    return async (...args: A): Promise<T> => {
      const step = port.steps++
      if (mode === 'crash' ? step >= at : step === at)
        throw storeError(code, 'injected', { retryable: code === 'disk-full' })
      return run(...args)
    }
  }
  return Object.assign(port, {
    makeDirectory: nodeFileSystem.makeDirectory,
    list: nodeFileSystem.list,
    inspect: nodeFileSystem.inspect,
    read: nodeFileSystem.read,
    writeNew: guard(nodeFileSystem.writeNew),
    rename: guard(nodeFileSystem.rename),
    unlink: guard(nodeFileSystem.unlink),
    syncDirectory: guard(nodeFileSystem.syncDirectory),
  })
}

describe('record store', () => {
  it('keeps records over a restart, replaces and erases them', async () => {
    const first = await create()
    await first.put('share', 'a', secret('one'))
    await first.put('share', 'a', secret('two'))
    await first.put('share', 'b', secret('three'))
    await first.put('ceremony', 'a', secret('four'))
    await first.erase('share', 'b')
    await first.erase('share', 'never there')
    await first.close()
    expect(await recordFiles()).toHaveLength(2)
    const second = await open()
    expect(second.storeId).toEqual(first.storeId)
    expect(await second.list('share')).toEqual(['a'])
    expect(text(await second.get('share', 'a'))).toBe('two')
    expect(text(await second.get('ceremony', 'a'))).toBe('four')
    expect(await second.get('share', 'b')).toBeUndefined()
    await second.close()
  })

  it('serialises operations in the order they were asked', async () => {
    const store = await create()
    const values = Array.from({ length: 12 }, (_, n) => `value ${n}`)
    await Promise.all(values.map((value) => store.put('share', 'a', secret(value))))
    expect(text(await store.get('share', 'a'))).toBe('value 11')
    expect(await recordFiles()).toHaveLength(1)
    await store.close()
  })

  it('writes files of mode 0600 in a directory of mode 0700, without a plain byte', async () => {
    const store = await create()
    await store.put('share', 'a', secret('a plain text that must not appear'))
    expect((await stat(directory)).mode & 0o777).toBe(0o700)
    for (const name of await readdir(directory)) {
      expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600)
      expect((await readFile(join(directory, name))).includes('plain text')).toBe(false)
    }
    await store.close()
  })

  it('refuses a second holder of the directory and lets it go on close', async () => {
    const store = await create()
    await expect(open()).rejects.toMatchObject({ code: 'store-locked' })
    await store.close()
    await store.close()
    await expect(store.list('share')).rejects.toMatchObject({ code: 'store-closed' })
    await (await open()).close()
  })

  it('refuses a missing store, a second creation and another passphrase', async () => {
    await expect(open()).rejects.toMatchObject({ code: 'store-missing' })
    await (await create()).close()
    await expect(create()).rejects.toMatchObject({ code: 'store-exists' })
    await expect(open(nodeFileSystem, 'another passphrase')).rejects.toMatchObject({ code: 'unseal-failed' })
    await (await open()).close()
  })

  it.each(['directory', 'keyring', 'record'])('refuses a %s that others may read', async (which) => {
    const store = await create()
    await store.put('share', 'a', secret('one'))
    await store.close()
    const [record = ''] = await recordFiles()
    const path = { directory, keyring: join(directory, 'keyring'), record: join(directory, record) }[which] ?? ''
    await chmod(path, which === 'directory' ? 0o750 : 0o640)
    await expect(open()).rejects.toMatchObject({ code: 'store-permissions' })
  })

  it('refuses a keyring behind a symbolic link', async () => {
    await (await create()).close()
    await rename(join(directory, 'keyring'), join(parent, 'elsewhere'))
    await symlink(join(parent, 'elsewhere'), join(directory, 'keyring'))
    await expect(open()).rejects.toMatchObject({ code: 'store-corrupt' })
  })

  it('notices a missing, a changed and an exchanged record file', async () => {
    const store = await create()
    await store.put('share', 'a', secret('one'))
    const [a = ''] = await recordFiles()
    await store.put('share', 'b', secret('two'))
    const b = (await recordFiles()).find((name) => name !== a) ?? ''
    const original = await readFile(join(directory, a))
    await writeFile(join(directory, a), await readFile(join(directory, b)))
    await expect(store.get('share', 'a')).rejects.toMatchObject({ code: 'store-corrupt' })
    const flipped = Uint8Array.from(original)
    flipped[20] = (flipped[20] ?? 0) ^ 1
    await writeFile(join(directory, a), flipped)
    await expect(store.get('share', 'a')).rejects.toMatchObject({ code: 'store-corrupt' })
    await writeFile(join(directory, a), original)
    expect(text(await store.get('share', 'a'))).toBe('one')
    await store.close()
    await rm(join(directory, a))
    const reopened = await open()
    await expect(reopened.get('share', 'a')).rejects.toMatchObject({ code: 'store-corrupt' })
    expect(text(await reopened.get('share', 'b'))).toBe('two')
    await reopened.put('share', 'a', secret('three'))
    expect(text(await reopened.get('share', 'a'))).toBe('three')
    await reopened.close()
  })

  it('refuses every flipped byte of the keyring file', async () => {
    await (await create()).close()
    const path = join(directory, 'keyring')
    const original = await readFile(path)
    for (const at of [0, 1, 33, 34, 36, 40, 70, 90, original.length - 1]) {
      const changed = Uint8Array.from(original)
      changed[at] = (changed[at] ?? 0) ^ 0x40
      await writeFile(path, changed)
      const refusal = await open().then(
        () => 'opened',
        (error: { code: string }) => error.code,
      )
      expect(['store-corrupt', 'unseal-failed'], `byte ${at}`).toContain(refusal)
    }
  })

  it('refuses a record that is too large or has no id', async () => {
    const store = await create()
    await expect(store.put('share', '', secret('x'))).rejects.toMatchObject({ code: 'record-too-large' })
    await expect(store.put('share', 'x'.repeat(257), secret('x'))).rejects.toMatchObject({ code: 'record-too-large' })
    await store.close()
  })
})

describe('record store, cut short', () => {
  const operations: [string, string | undefined, (store: OpenRecordStore) => Promise<void>][] = [
    ['put', 'new', (store) => store.put('share', 'a', secret('new'))],
    ['erase', undefined, (store) => store.erase('share', 'a')],
  ]
  it.each(operations)(
    '%s: after a crash at any step a reopen gives the old or the new value',
    async (_name, after, run) => {
      const seen = new Set<string | undefined>()
      await (await create()).close()
      for (let at = 0, finished = false; !finished; at++) {
        const prepared = await open()
        await prepared.put('share', 'a', secret('old'))
        await prepared.put('share', 'other', secret('untouched'))
        await prepared.close()
        const port = failing(at, 'crash')
        const store = await open(port)
        finished = await run(store).then(
          () => port.steps <= at,
          () => false,
        )
        await store.close()
        const reopened = await open()
        const value = text(await reopened.get('share', 'a'))
        expect(['old', after]).toContain(value)
        expect(text(await reopened.get('share', 'other'))).toBe('untouched')
        expect(await recordFiles()).toHaveLength(value === undefined ? 1 : 2)
        seen.add(value)
        await reopened.close()
      }
      expect([...seen]).toEqual(['old', after])
    },
  )

  it('a creation cut short at any step is taken over', async () => {
    for (let at = 0, finished = false; !finished; at++) {
      const port = failing(at, 'crash')
      const made = await create(port).then(
        (store) => store,
        () => undefined,
      )
      finished = made !== undefined && port.steps <= at
      await made?.close()
      const store = await open().catch(() => create())
      expect(await store.list('share')).toEqual([])
      await store.close()
      await rm(directory, { recursive: true })
    }
  })

  it('a full disk refuses the write, keeps the old value and goes on when there is room again', async () => {
    const port = failing(-1, 'once', 'disk-full')
    const store = await create(port)
    await store.put('share', 'a', secret('old'))
    for (const ahead of [0, 3]) {
      Object.assign(port, failing(ahead, 'once', 'disk-full'))
      await expect(store.put('share', 'a', secret('lost'))).rejects.toMatchObject({
        code: 'disk-full',
        retryable: true,
      })
      expect(text(await store.get('share', 'a'))).toBe('old')
    }
    Object.assign(port, nodeFileSystem)
    await store.put('share', 'a', secret('new'))
    expect(text(await store.get('share', 'a'))).toBe('new')
    expect((await readdir(directory)).filter((name) => name.endsWith('.tmp'))).toEqual([])
    expect(await recordFiles()).toHaveLength(1)
    await store.close()
  })

  it('stops when a commit ends in an unknown state', async () => {
    await (await create()).close()
    const store = await open(failing(4, 'once'))
    await expect(store.put('share', 'a', secret('x'))).rejects.toMatchObject({ code: 'store-io' })
    await expect(store.get('share', 'a')).rejects.toMatchObject({ code: 'store-failed' })
    await store.close()
    await (await open()).close()
  })
})
