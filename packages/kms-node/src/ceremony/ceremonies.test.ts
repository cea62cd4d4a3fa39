import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesKey } from '@tkms/dkg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { CeremonyFrame } from '../net/ceremony-frame.ts'
import type { ProposeInput } from './propose-input.ts'
import { createWorld, type World, type WorldNode, type WorldOptions } from './service-world.fixture.ts'
import type { CeremonyStatus } from './status.ts'

/** Ceremonies of several nodes with real engines: n = 4, t = 2, f = 1, Q = 3. */
let world: World
let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-ceremonies-'))
})
afterEach(async () => {
  await world.stop()
  await rm(directory, { recursive: true, force: true })
})

const begin = async (options: Omit<WorldOptions, 'directory' | 'n'> = {}): Promise<void> => {
  world = await createWorld({ n: 4, directory, ...options })
}
const isOf = (frame: CeremonyFrame, ceremony: string, type: CeremonyFrame['type']): boolean =>
  frame.type === type && 'ceremony' in frame && `0x${bytesKey(frame.ceremony)}` === ceremony
const bytesOf = (frame: CeremonyFrame): string => (frame.type === 'message' ? bytesKey(frame.signed) : '')
const complete = ({ stage }: CeremonyStatus): boolean => stage === 'complete'
const keygen = (keyName: string): ProposeInput => ({ kind: 'keygen', keyName, purpose: 'ecies-dec' })

async function approve(node: WorldNode, ceremony: string, input: Parameters<WorldNode['service']['approve']>[1] = {}) {
  await node.until(ceremony, () => true)
  return node.service.approve(ceremony, input)
}

/** The first proposes, the others approve. */
async function conduct(nodes: readonly WorldNode[], input: ProposeInput): Promise<readonly CeremonyStatus[]> {
  const [first, ...others] = nodes
  if (first === undefined) throw new Error('no node')
  const { ceremony } = await first.service.propose(input)
  await Promise.all(others.map((node) => approve(node, ceremony)))
  return Promise.all(nodes.map((node) => node.until(ceremony, complete)))
}

test('a key is made without its first leader', { timeout: 60_000 }, async () => {
  await begin({ phaseBaseMs: 500 })
  const { ceremony } = await world.node(1).service.propose(keygen('ecies/1'))
  await Promise.all(world.nodes.map((node) => node.until(ceremony, () => true)))
  const leader = world.node(1 + (Number.parseInt(ceremony.slice(2, 10), 16) % 4))
  leader.setAway(true)
  const there = world.nodes.filter((node) => node !== leader)
  await Promise.all(there.map((node) => node.service.approve(ceremony)))
  const statuses = await Promise.all(there.map((node) => node.until(ceremony, complete)))
  expect(statuses.map(({ holdsShare }) => holdsShare)).toEqual([true, true, true])
  const reasons = statuses.flatMap(({ lastView }) => (lastView === undefined ? [] : [lastView.reason]))
  expect(reasons.join(' ')).toContain(`node-${leader.index}`)
})

test('more old members are lost than the committee tolerates: a degraded AUTH, approved as such, brings the key to others', {
  timeout: 60_000,
}, async () => {
  await begin({ candidates: 2 })
  const [made] = await conduct(world.nodes.slice(0, 4), keygen('ecies/1'))
  for (const index of [3, 4]) world.node(index).setAway(true)
  const living = [1, 2, 5, 6].map((index) => world.node(index))
  for (const node of living.slice(2))
    await node.keys.learn(living[0]?.keys.list()[0]?.key.certificate ?? new Uint8Array())
  const [first, ...others] = living
  const { ceremony } = (await first?.service.propose({
    kind: 'reshare',
    keyName: 'ecies/1',
    remove: ['3', '4'],
    add: ['node-5', 'node-6'],
  })) ?? { ceremony: '' }
  await Promise.all(others.map((node) => approve(node, ceremony)))
  const waiting = await world.node(1).until(ceremony, ({ authorization }) => authorization?.have === 2)
  expect(waiting).toMatchObject({ stage: 'authorizing', authorization: { have: 2, want: 3, least: 2 } })
  expect(waiting.authorization?.missing.map(({ index }) => index)).toEqual([3, 4])
  expect(waiting.advice).toContain('--degraded')
  await Promise.all(living.map((node) => node.service.approve(ceremony, { degraded: true })))
  const statuses = await Promise.all(living.map((node) => node.until(ceremony, complete)))
  expect(new Set(statuses.map(({ publicKey }) => publicKey))).toEqual(new Set([made?.publicKey]))
  expect(world.node(1).keys.installed.at(-1)?.options).toEqual({ approvedHere: true, mayErase: true })
})

test('an attempt whose new members are lost is given up for the next one, and nothing is erased on its word', {
  timeout: 60_000,
}, async () => {
  await begin({ candidates: 3 })
  const founders = world.nodes.slice(0, 4)
  await conduct(founders, keygen('ecies/1'))
  const reshare = { kind: 'reshare', keyName: 'ecies/1', remove: ['2', '3', '4'] } as const
  const { ceremony: lost } = await world.node(1).service.propose({ ...reshare, add: ['node-5', 'node-6'] })
  for (const index of [2, 3]) await approve(world.node(index), lost)
  await world.node(1).until(lost, ({ stage }) => stage === 'running')
  for (const index of [5, 6]) world.node(index).setAway(true)
  const again = { ...reshare, remove: ['4'], add: ['node-7'] } as const
  await expect(world.node(1).service.propose(again)).rejects.toMatchObject({ code: 'attempt-open' })
  const { ceremony: next } = await world.node(1).service.propose({ ...again, supersede: true })
  await world.node(7).keys.learn(world.node(1).keys.list()[0]?.key.certificate ?? new Uint8Array())
  world.node(7).setAway(false)
  for (const index of [2, 3, 7]) await approve(world.node(index), next)
  const statuses = await Promise.all([1, 2, 3, 7].map((index) => world.node(index).until(next, complete)))
  expect(statuses[0]).toMatchObject({ attempt: 1, epoch: 1, holdsShare: true })
  expect(await world.node(1).until(lost, ({ stage }) => stage === 'superseded')).toMatchObject({ attempt: 0 })
  // The promise of AUTH: nothing new in the lower attempt behind it.
  const auth = world.sent.findIndex(({ from, frame }) => from === 1 && isOf(frame, next, 'authorization'))
  const own = world.sent.map(({ from, frame }) => (from === 1 && isOf(frame, lost, 'message') ? bytesOf(frame) : ''))
  expect(auth).toBeGreaterThan(0)
  expect(own.slice(auth).filter((bytes) => !own.slice(0, auth).includes(bytes))).toEqual([])
  await expect(world.node(1).service.approve(lost, { degraded: true })).resolves.toMatchObject({ stage: 'superseded' })
})

test('a node that restarts between AUTH and certificate goes on, and its own AUTH stays the same', {
  timeout: 60_000,
}, async () => {
  await begin()
  await conduct(world.nodes, keygen('ecies/1'))
  const { ceremony } = await world.node(1).service.propose({ kind: 'reshare', keyName: 'ecies/1' })
  await world.node(1).restart()
  expect(world.node(1).service.find(ceremony)).toMatchObject({
    stage: 'authorizing',
    authorization: { have: 1, want: 3 },
  })
  await approve(world.node(2), ceremony)
  await world.node(2).restart()
  for (const index of [3, 4]) await approve(world.node(index), ceremony)
  const statuses = await Promise.all(world.nodes.map((node) => node.until(ceremony, complete)))
  expect(statuses.map(({ epoch, holdsShare }) => [epoch, holdsShare])).toEqual(world.nodes.map(() => [1, true]))
})

test('several keys are made and refreshed at once', { timeout: 90_000 }, async () => {
  await begin()
  const names = ['ecies/a', 'ecies/b', 'ecies/c']
  const made = await Promise.all(names.map((name) => conduct(world.nodes, keygen(name))))
  expect(new Set(made.map(([status]) => status?.keyId)).size).toBe(3)
  const fresh = await Promise.all(names.map((keyName) => conduct(world.nodes, { kind: 'reshare', keyName })))
  expect(fresh.map(([status]) => status?.publicKey)).toEqual(made.map(([status]) => status?.publicKey))
})

test('between the look at the orders to destroy a key and the refresh of it nothing fits', {
  timeout: 60_000,
}, async () => {
  await begin()
  const [made] = await conduct(world.nodes, keygen('ecies/1'))
  const { service, keys } = world.node(1)
  const keyId = Buffer.from(made?.keyId?.slice(2) ?? '', 'hex')
  const seen: (string | undefined)[] = []
  keys.isClosed = () => {
    queueMicrotask(() => seen.push(service.undecidedOf(keyId)))
    return false
  }
  const { ceremony } = await service.propose({ kind: 'reshare', keyName: 'ecies/1' })
  expect(seen).toEqual([ceremony])
  expect(service.undecidedOf(keyId)).toBe(ceremony)
  keys.isClosed = () => true
  await expect(service.approve(ceremony, { degraded: true })).rejects.toMatchObject({ code: 'key-closed' })
  await Promise.all(world.nodes.slice(1).map((node) => approve(node, ceremony)))
  await world.node(1).until(ceremony, complete)
  expect(service.undecidedOf(keyId)).toBeUndefined()
})

test('a name that is taken is rotated explicitly, and the next generation is another key', {
  timeout: 60_000,
}, async () => {
  await begin()
  const [first] = await conduct(world.nodes, keygen('ecies/1'))
  await expect(world.node(1).service.propose(keygen('ecies/1'))).rejects.toMatchObject({
    code: 'key-exists',
    message: expect.stringContaining('keys rotate ecies/1'),
  })
  const [second] = await conduct(world.nodes, {
    kind: 'keygen',
    keyName: 'ecies/1',
    purpose: 'ecies-dec',
    rotate: true,
  })
  expect(second).toMatchObject({ generation: 2, keyName: 'ecies/1' })
  expect(second?.keyId).not.toBe(first?.keyId)
})

test('an abandoned ceremony leaves nothing on the disk, and tells those who come late', {
  timeout: 60_000,
}, async () => {
  await begin()
  const { ceremony } = await world.node(1).service.propose(keygen('ecies/1'))

  await world.node(4).until(ceremony, () => true)
  world.node(4).setAway(true)
  for (const index of [2, 3]) await approve(world.node(index), ceremony)
  for (const index of [1, 2, 3]) await world.node(index).service.abandon(ceremony)
  const stages = await Promise.all(
    [1, 2, 3].map((index) => world.node(index).until(ceremony, ({ stage }) => stage === 'abandoned')),
  )
  expect(stages).toHaveLength(3)
  expect(await world.node(1).store.list('ceremony')).toEqual([])
  await world.node(1).restart()
  expect(world.node(1).service.find(ceremony).stage).toBe('abandoned')
  world.node(4).setAway(false)
  await world.node(4).service.approve(ceremony)
  expect(await world.node(4).until(ceremony, ({ stage }) => stage === 'abandoned')).toMatchObject({
    keyName: 'ecies/1',
  })
})

test('fewer nodes that decrypt must be confirmed by who proposes and by who approves', {
  timeout: 60_000,
}, async () => {
  await begin({ candidates: 1 })
  const five = world.nodes
  await conduct(five.slice(0, 4), keygen('ecies/1'))
  await world.node(5).keys.learn(world.node(1).keys.list()[0]?.key.certificate ?? new Uint8Array())
  await conduct(five, { kind: 'reshare', keyName: 'ecies/1', add: ['node-5'], threshold: 3 })
  const lower = { kind: 'reshare', keyName: 'ecies/1', threshold: 2 } as const
  await expect(world.node(1).service.propose(lower)).rejects.toMatchObject({ code: 'lowers-threshold' })
  const { ceremony } = await world.node(1).service.propose({ ...lower, lowerThreshold: true })
  await expect(approve(world.node(2), ceremony)).rejects.toMatchObject({ code: 'lowers-threshold' })
  expect(await approve(world.node(2), ceremony, { lowerThreshold: true })).toMatchObject({ lowersThreshold: true })
})

test('two rival ceremonies, each half approved, are both abandoned, and the next attempt makes the one key', {
  timeout: 90_000,
}, async () => {
  await begin()
  const [one, two, three, four] = [1, 2, 3, 4].map((index) => world.node(index))
  if (one === undefined || two === undefined || three === undefined || four === undefined) throw new Error('no nodes')
  four.setAway(true)
  const { ceremony: first } = await one.service.propose(keygen('ecies/1'))
  const { ceremony: second } = await four.service.propose({ ...keygen('ecies/1'), lifetimeS: 7200 })
  four.setAway(false)
  await approve(two, first)
  await approve(three, second)
  await expect(approve(one, second)).rejects.toMatchObject({ code: 'slot-other-approved' })
  for (const node of [one, two, three]) await node.service.abandon(first)
  for (const node of [four, three, two]) await node.service.abandon(second)
  const over = ({ stage }: CeremonyStatus): boolean => stage === 'abandoned'
  await Promise.all([
    one.until(first, over),
    two.until(first, over),
    three.until(second, over),
    four.until(second, over),
  ])
  await vi.waitFor(() => expect(one.service.list().map(({ ceremony }) => ceremony)).not.toContain(second))
  const statuses = await conduct(world.nodes, keygen('ecies/1'))
  expect(statuses.map(({ attempt, generation }) => [attempt, generation])).toEqual(world.nodes.map(() => [1, 1]))
})

test('a ceremony waits for a full disk and goes on by itself when there is room', { timeout: 60_000 }, async () => {
  await begin()
  const { ceremony } = await world.node(1).service.propose(keygen('ecies/1'))
  await approve(world.node(2), ceremony)
  world.node(2).setFull(true)
  for (const index of [3, 4]) await approve(world.node(index), ceremony)
  expect(await world.node(2).until(ceremony, ({ reason }) => reason !== undefined)).toMatchObject({
    stage: 'running',
    reason: expect.stringContaining('the disk of this node is full'),
  })
  world.node(2).setFull(false)
  const statuses = await Promise.all(world.nodes.map((node) => node.until(ceremony, complete)))
  expect(statuses.map(({ holdsShare, reason }) => [holdsShare, reason])).toEqual(
    world.nodes.map(() => [true, undefined]),
  )
})

test('who is away keeps an ABANDON from being signed, and the status says so; whoever approved is not asked to again', {
  timeout: 60_000,
}, async () => {
  await begin()
  const { ceremony } = await world.node(1).service.propose(keygen('ecies/1'))
  await world.node(1).until(ceremony, ({ phase }) => phase === 'joining')
  for (const index of [3, 4]) world.node(index).setAway(true)
  await approve(world.node(2), ceremony)
  const waiting = await world.node(1).until(ceremony, ({ begun }) => begun?.some(({ index }) => index === 2) === true)
  expect(waiting.advice).not.toContain('on node-2: ')
  await world.node(2).service.abandon(ceremony)
  const leaving = await world.node(2).until(ceremony, ({ phase, have }) => phase === 'leaving' && have === 2)
  expect(leaving.advice).toContain('the others are told when 1 more of node-3, node-4 have answered')
  world.node(3).setAway(false)
  await world.node(1).until(ceremony, ({ abandonedBy }) => abandonedBy?.[0]?.index === 2)
  await world.node(3).until(ceremony, ({ abandonedBy }) => abandonedBy !== undefined)
  expect(world.node(3).service.find(ceremony).advice).toContain('node-2 gave it up, 1 of the 3')
})

test('a refresh whose lost members are in the new committee too goes on as its advice says', {
  timeout: 60_000,
}, async () => {
  await begin({ candidates: 1 })
  await conduct(world.nodes.slice(0, 4), keygen('ecies/1'))
  for (const index of [3, 4]) world.node(index).setAway(true)
  const { ceremony } = await world.node(1).service.propose({ kind: 'reshare', keyName: 'ecies/1' })
  await approve(world.node(2), ceremony)
  const waiting = await world.node(1).until(ceremony, ({ authorization }) => authorization?.have === 2)
  expect(waiting.advice).toContain('--reshare ecies/1 --remove node-3 node-4 --add CARD --degraded --supersede')
  await world.node(5).keys.learn(world.node(1).keys.list()[0]?.key.certificate ?? new Uint8Array())
  const change = { add: ['node-5'], remove: ['node-3', 'node-4'], degraded: true, supersede: true }
  const { ceremony: next } = await world.node(1).service.propose({ kind: 'reshare', keyName: 'ecies/1', ...change })
  await Promise.all([2, 5].map((index) => approve(world.node(index), next, { degraded: true })))
  await Promise.all([1, 2, 5].map((index) => world.node(index).until(next, complete)))
})
