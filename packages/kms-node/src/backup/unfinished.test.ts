import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { MonotonicCounter } from '../ports.ts'
import { acquireLock } from '../store/lock.ts'
import { removeEarlier, unfinishedPath } from './unfinished.ts'

let parent: string
let warnings: string[]
let discarded: Uint8Array[]
const counter: MonotonicCounter = {
  read: async () => 1,
  increment: async () => 2,
  create: async () => undefined,
  remove: async () => undefined,
  discard: async (place) => void discarded.push(Uint8Array.from(place)),
}
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'tkms-unfinished-'))
  warnings = []
  discarded = []
})
afterEach(() => rm(parent, { recursive: true }))

const leave = async (path: string, note?: Uint8Array): Promise<string> => {
  await mkdir(join(path, 'store'), { recursive: true, mode: 0o700 })
  if (note !== undefined) await writeFile(join(path, 'store/counter.tmp'), note, { mode: 0o600 })
  return path
}
const target = (): string => join(parent, 'alice')
const removeWith = (sealer: { readonly counter?: MonotonicCounter }): Promise<void> =>
  removeEarlier(target(), sealer, (warning) => warnings.push(warning))

it('removes what earlier restores of the same directory left, and their counters', async () => {
  await leave(unfinishedPath(target()), Uint8Array.of(7))
  await leave(unfinishedPath(target()))
  const others = [unfinishedPath(join(parent, 'bob')), target(), join(parent, '.alice.backup.restoring')]
  for (const path of others) await leave(path, Uint8Array.of(8))
  await removeWith({ counter })
  expect(discarded).toEqual([Uint8Array.of(7)])
  expect((await readdir(parent)).map((name) => join(parent, name)).toSorted()).toEqual(others.toSorted())
})

it('leaves one alone that still runs', async () => {
  const running = await leave(unfinishedPath(target()), Uint8Array.of(7))
  const lock = acquireLock(join(running, 'store/lock'))
  await removeWith({ counter })
  expect([discarded, await readdir(parent)]).toMatchObject([[], [expect.stringContaining('.alice.')]])
  lock.release()
  await removeWith({ counter })
  expect([discarded.length, await readdir(parent)]).toEqual([1, []])
})

it('leaves one whose counter another sealer keeps, and says so', async () => {
  const left = await leave(unfinishedPath(target()), Uint8Array.of(7))
  await removeWith({})
  expect(warnings).toEqual([expect.stringContaining(left)])
  expect(await readdir(parent)).toHaveLength(1)
})
