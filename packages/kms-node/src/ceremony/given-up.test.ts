import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '@tkms/dkg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createWorld, type World, type WorldNode } from './service-world.fixture.ts'

/** An attempt that its nodes give up for the next one and abandon too: n = 4, t = 2, f = 1, Q = 3, with real engines. */
let world: World
let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-given-up-'))
  world = await createWorld({ n: 4, directory })
  const { ceremony } = await world.node(1).service.propose({ kind: 'keygen', keyName: 'ecies/1', purpose: 'ecies-dec' })
  for (const index of [2, 3, 4]) {
    await world.node(index).until(ceremony, () => true)
    await world.node(index).service.approve(ceremony)
  }
  await Promise.all(world.nodes.map((node) => node.until(ceremony, ({ stage }) => stage === 'complete')))
})
afterEach(async () => {
  await world.stop()
  await rm(directory, { recursive: true, force: true })
})

test.each(['halt', 'restart'] as const)(
  'an attempt that was abandoned, then given up, is abandoned after a %s before its engine took the order',
  { timeout: 60_000 },
  async (ending) => {
    const reshare = { kind: 'reshare', keyName: 'ecies/1' } as const
    const { ceremony: lower } = await world.node(1).service.propose(reshare)
    for (const index of [2, 3]) await world.node(index).until(lower, () => true)
    // Its engine is still starting when the next attempt halts it.
    await world.node(1).service.abandon(lower)
    await world.node(1).service.propose({ ...reshare, supersede: true })
    if (ending === 'restart') await world.node(1).restart()
    await world.node(1).until(lower, ({ stage }) => stage === 'superseded')
    for (const index of [2, 3]) await world.node(index).service.abandon(lower)
    const statuses = await Promise.all(
      [1, 2, 3].map((index) => world.node(index).until(lower, ({ stage }) => stage === 'abandoned')),
    )
    expect(statuses.map(({ abandonedBy }) => abandonedBy?.length)).toEqual([3, 3, 3])
  },
)

test('a ceremony that a damaged record keeps from going on can still be given up, here and by others', {
  timeout: 60_000,
}, async () => {
  const [one, two, four] = [1, 2, 4].map((index) => world.node(index)) as [WorldNode, WorldNode, WorldNode]
  world.node(3).setAway(true)
  const { ceremony } = await one.service.propose({ kind: 'keygen', keyName: 'ecies/2', purpose: 'ecies-dec' })
  for (const node of [two, four]) {
    await node.until(ceremony, () => true)
    await node.service.approve(ceremony)
  }
  const archive = `${ceremony.slice(2)}.archive`
  await four.store.put('ceremony', archive, new Secret(new Uint8Array(1)))
  await four.restart()
  expect(four.service.find(ceremony)).toMatchObject({ stage: 'failed' })
  for (const node of [four, one, two]) await node.service.abandon(ceremony)
  const ends = await Promise.all(
    [one, two, four].map((node) => node.until(ceremony, ({ stage }) => stage === 'abandoned')),
  )
  expect(ends.map(({ abandonedBy }) => abandonedBy?.length)).toEqual([3, 3, 3])
})
