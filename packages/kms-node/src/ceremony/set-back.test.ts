import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesKey } from '@tkms/dkg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { CeremonyFrame } from '../net/ceremony-frame.ts'
import { createWorld, type World, type WorldNode } from './service-world.fixture.ts'
import type { CeremonyStatus } from './status.ts'

/** A node whose backup was restored, among others with real engines: n = 4, t = 2, f = 1, so that all three others must tell. */
let world: World
let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-set-back-'))
  world = await createWorld({ n: 4, directory })
})
afterEach(async () => {
  await world.stop()
  await rm(directory, { recursive: true, force: true })
})

const WAIT = { timeout: 20_000, interval: 20 }
const TEST = { timeout: 60_000 }
const complete = ({ stage }: CeremonyStatus): boolean => stage === 'complete'
const refresh = { kind: 'reshare', keyName: 'ecies/1' } as const

async function approve(node: WorldNode, ceremony: string): Promise<CeremonyStatus> {
  await node.until(ceremony, () => true)
  return node.service.approve(ceremony)
}

async function makeKey(): Promise<void> {
  const { ceremony } = await world.node(1).service.propose({ kind: 'keygen', keyName: 'ecies/1', purpose: 'ecies-dec' })
  await Promise.all(world.nodes.slice(1).map((node) => approve(node, ceremony)))
  await Promise.all(world.nodes.map((node) => node.until(ceremony, complete)))
}

const isAuthOf = (frame: CeremonyFrame, index: number): boolean =>
  frame.type === 'authorization' && Number(frame.index) === index
/** What node 4 itself signed, by ceremony. */
const authorizedBy4 = (): ReadonlySet<string> =>
  new Set(
    world.sent.flatMap(({ from, frame }) =>
      from === 4 && isAuthOf(frame, 4) && 'ceremony' in frame ? [`0x${bytesKey(frame.ceremony)}`] : [],
    ),
  )

const signedBy4 = (ceremony: string): readonly CeremonyFrame[] =>
  world.sent.flatMap(({ from, frame }) =>
    from === 4 && frame.type === 'message' && `0x${bytesKey(frame.ceremony)}` === ceremony ? [frame] : [],
  )

test('a node that forgot its AUTH learns of it, and authorizes no rival', TEST, async () => {
  await makeKey()
  const [one, four] = [world.node(1), world.node(4)]
  world.node(3).setAway(true)
  const first = await one.service.propose(refresh)
  await approve(four, first.ceremony)
  await one.until(first.ceremony, ({ authorization }) => authorization?.have === 2)
  await four.forget()
  await vi.waitFor(() => expect(four.restored).toEqual({ awaited: ['node-3'] }), WAIT)
  const rival = await world.node(3).service.propose({ ...refresh, remove: ['2'] })
  expect([rival.attempt, rival.ceremony === first.ceremony]).toEqual([first.attempt, false])
  world.node(3).setAway(false)
  await vi.waitFor(() => expect(four.restored).toBeUndefined(), WAIT)
  await four.until(rival.ceremony, () => true)
  await expect(four.service.approve(rival.ceremony)).rejects.toMatchObject({ code: 'slot-other-approved' })
  expect([...authorizedBy4()]).toEqual([first.ceremony])
  await four.restart()
  await expect(approve(four, rival.ceremony)).rejects.toMatchObject({ code: 'slot-other-approved' })
  expect(await approve(four, first.ceremony)).toMatchObject({ stage: 'authorizing' })
  expect([...authorizedBy4()]).toEqual([first.ceremony])
})

test(
  'what its operator approves meanwhile waits for others to tell, says so, and goes on by itself',
  TEST,
  async () => {
    await makeKey()
    const four = world.node(4)
    world.node(3).setAway(true)
    await four.forget()
    const made = await four.service.propose({ kind: 'keygen', keyName: 'ecies/2', purpose: 'ecies-dec' })
    await vi.waitFor(() => expect(four.restored).toEqual({ awaited: ['node-3'] }), WAIT)
    const held = await four.service.propose({ ...refresh, remove: ['3'] })
    expect(held).toMatchObject({ stage: 'authorizing', awaited: [{ index: 3 }] })
    expect(held.advice).toMatch(/backup of this node was restored.*start node-3 .*approve 0x[0-9a-f]+ --degraded/)
    expect(authorizedBy4().size).toBe(0)
    // Whoever asked the other operators need not wait for an old committee.
    await four.service.approve(held.ceremony, { degraded: true })
    expect([...authorizedBy4()]).toEqual([held.ceremony])
    for (const index of [1, 2]) await approve(world.node(index), made.ceremony)
    expect(four.service.find(made.ceremony)).toMatchObject({ stage: 'running', awaited: [{ index: 3 }] })
    expect(signedBy4(made.ceremony)).toEqual([])
    world.node(3).setAway(false)
    await approve(world.node(3), made.ceremony)
    expect(await four.until(made.ceremony, complete)).not.toHaveProperty('awaited')
    expect(four.restored).toBeUndefined()
  },
)
