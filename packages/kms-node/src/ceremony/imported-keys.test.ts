import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CeremonySpec, importSpec, nobleCurve, Secret } from '@tkms/dkg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../system.ts'
import { createImportedKeys } from './imported-keys.ts'
import { createWorld, type World, type WorldNode } from './service-world.fixture.ts'
import { openSlotBook } from './slot-book.ts'

/** What is left of an imported key at the node that brought it: n = 4, t = 2, real engines. */
let world: World
let directory: string
let importer: WorldNode
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-imports-'))
  world = await createWorld({ n: 4, directory })
  importer = world.node(1)
})
afterEach(async () => {
  await world.stop()
  await rm(directory, { recursive: true, force: true })
})

const theKey = (): Secret => new Secret(new Uint8Array(32).fill(7))
const specOf = (inS: number): CeremonySpec => {
  const { config } = world.cluster
  const [member] = config.members
  if (member === undefined) throw new Error('no member')
  const named = { clusterId: config.clusterId, purpose: 'ecies-dec', keyName: 'ecies/old', generation: 1 } as const
  const notAfter = Math.floor(systemClock.nowMs() / 1000) + inS
  return importSpec({ ...named, attempt: 0, newConfig: config, notAfter }, member, nobleCurve.mulBaseSecret(theKey()))
}
const kept = async (): Promise<number> =>
  (await importer.store.list('ceremony')).filter((id) => id.endsWith('.import')).length
const propose = async (): Promise<string> => {
  const input = { kind: 'import', keyName: 'ecies/old', purpose: 'ecies-dec', key: theKey() } as const
  return (await importer.service.propose(input)).ceremony
}

test('a crash before its ceremony was approved leaves nothing of the key behind', async () => {
  await createImportedKeys(importer.store).keep(specOf(3600), theKey())
  expect(await kept()).toBe(1)
  await importer.restart()
  expect(await kept()).toBe(0)
  expect(await importer.store.list('ceremony')).toEqual([])
})

test('of a ceremony whose time ran out before it began nothing of the key is left', async () => {
  const spec = specOf(-1)
  await createImportedKeys(importer.store).keep(spec, theKey())
  await (await openSlotBook(importer.store)).approve(spec, 'plain')
  await importer.restart()
  expect(importer.service.list()).toMatchObject([{ stage: 'expired' }])
  expect(await kept()).toBe(0)
})

test('a crash in a ceremony that goes on keeps the key until its certificate', { timeout: 60_000 }, async () => {
  for (const node of world.nodes.slice(1)) node.setAway(true)
  const ceremony = await propose()
  await importer.until(ceremony, ({ stage }) => stage === 'running')
  await importer.restart()
  expect(await kept()).toBe(1)
  for (const node of world.nodes.slice(1)) node.setAway(false)
  for (const node of world.nodes.slice(1)) {
    await node.until(ceremony, () => true)
    await node.service.approve(ceremony)
  }
  await importer.until(ceremony, ({ stage }) => stage === 'complete')
  expect(await kept()).toBe(0)
})

test('who gives its import up has the key no longer, although the ceremony is undecided', {
  timeout: 60_000,
}, async () => {
  const ceremony = await propose()
  await importer.until(ceremony, ({ stage }) => stage === 'running')
  expect(await kept()).toBe(1)
  await importer.service.abandon(ceremony)
  await importer.until(ceremony, ({ stage }) => stage === 'left')
  await expect.poll(kept).toBe(0)
  await importer.restart()
  await importer.until(ceremony, ({ stage }) => stage === 'left')
  expect(await kept()).toBe(0)
})
