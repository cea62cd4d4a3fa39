import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { selectCurve } from '@tkms/curve-native'
import {
  bytesKey,
  createRepairRecoverer,
  encodeRepairRefusal,
  participantIndex,
  readRepairRequest,
  repairIdOf,
  type Secret,
  verifyEd25519,
} from '@tkms/dkg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { repairWorld, type RepairWorld, type TestNode } from './service.fixture.ts'

let directory: string
let world: RepairWorld

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-repair-'))
  world = await repairWorld(4, 2, directory)
})
afterEach(async () => {
  await world.stop()
  await rm(directory, { recursive: true, force: true })
})

const hexOf = (share: Secret | undefined): string | undefined => share?.use(bytesKey)
const lose = (node: TestNode): string | undefined => {
  const lost = hexOf(node.share)
  node.share = undefined
  return lost
}
const waitFor = (what: () => boolean): Promise<void> => expect.poll(what, { interval: 5, timeout: 5_000 }).toBe(true)

/** The request was decided between the look at it and the word about it. */
const expectDecided = (cause: unknown): void => expect(cause).toMatchObject({ code: 'repair-over' })

/** The operator of a helper says yes to the one request it sees. */
async function approve(node: TestNode): Promise<void> {
  await waitFor(() => node.service.list().some(({ phase }) => phase === 'waiting'))
  const [request] = node.service.list().filter(({ phase }) => phase === 'waiting')
  await node.service.approve(request?.id ?? '')
}

/** The operators of these say yes to every request they see, one after the other, as long as the share is not back. */
async function approveUntilBack(node: TestNode, helpers: readonly TestNode[]): Promise<void> {
  await expect
    .poll(
      async () => {
        for (const { service } of helpers)
          for (const { id, phase } of service.list())
            if (phase === 'waiting') await service.approve(id).catch(expectDecided)
        return node.share !== undefined
      },
      { interval: 5, timeout: 5_000 },
    )
    .toBe(true)
}

test('a lost share comes back once t operators approve; the advice says what is waited for', async () => {
  const [one, two, three] = [world.node(1), world.node(2), world.node(3)]
  const lost = lose(one)
  const begun = await one.service.repair('ecies/test')
  expect(begun).toMatchObject({ role: 'recoverer', keyName: 'ecies/test', recoverer: { index: 1, name: 'node-1' } })
  await waitFor(() => one.service.find(begun.id).refusals.length === 2)
  expect(one.service.find(begun.id).advice).toContain('node-2 (2), node-3 (3) must approve')
  expect(two.service.list()[0]?.advice).toContain('Ask its operator by another channel')
  expect(two.events).toContain('repair-requested')
  expect(world.frames.some(({ from }) => from !== 1 && from > 3)).toBe(false)
  await approve(two)
  await approve(three)
  await waitFor(() => one.share !== undefined)
  expect(hexOf(one.share)).toBe(lost)
  await waitFor(() => one.service.find(begun.id).phase === 'done' && two.service.list()[0]?.phase === 'done')
  expect(one.service.find(begun.id)).toMatchObject({ phase: 'done', end: 'repaired' })
  expect(await one.store.list('repair')).toEqual([])
  // The helper remembers that the rid is spent, and nothing secret.
  const [spent] = await two.store.list('repair')
  const record = await two.store.get('repair', spent ?? '')
  expect(record).toBeDefined()
  for (const share of world.shares.values())
    expect(record?.use((bytes) => Buffer.from(bytes).includes(Buffer.from(share.use((inner) => inner))))).toBe(false)
})

test('a repair survives restarts of everybody at every moment', async () => {
  const one = world.node(1)
  const lost = lose(one)
  await one.service.repair('ecies/test')
  for (let round = 0; one.share === undefined && round < 200; round++) {
    const node = world.nodes[round % 4]
    if (node === undefined) throw new Error('four nodes')
    await world.restart(node)
    for (const helper of world.nodes)
      for (const { id, phase, role } of helper.service.list())
        if (role === 'helper' && phase === 'waiting') await helper.service.approve(id).catch(expectDecided)
    await new Promise((resolve) => setTimeout(resolve, 15))
  }
  expect(hexOf(one.share)).toBe(lost)
  for (const { events } of world.nodes) {
    expect(events).not.toContain('repair-fault')
    expect(events).not.toContain('repair-interrupted')
  }
})

/** The request of whoever has the key of this node, and nothing else of it. */
function askAs({ index, sign }: TestNode): Uint8Array {
  const recoverer = createRepairRecoverer({ curve: selectCurve().curve, sign, verify: verifyEd25519 })
  const timings = { retransmitMs: 20, retransmitMaxMs: 100 }
  const { state } = recoverer.open({ sharing: world.key, self: index, timings })
  const nonce = crypto.getRandomValues(new Uint8Array(32))
  const reachable = [2, 3, 4].map(participantIndex)
  const { effects } = recoverer.step(state, { type: 'nonce', attempt: 0, nonce, reachable })
  const [request] = effects.flatMap((effect) => (effect.type === 'send' && effect.to === 2 ? [effect.message] : []))
  if (request === undefined) throw new Error('asks node 2 first')
  return request
}

test('an operator that says no is replaced by another node', async () => {
  const [one, two, three, four] = [1, 2, 3, 4].map((index) => world.node(index)) as [
    TestNode,
    TestNode,
    TestNode,
    TestNode,
  ]
  const lost = lose(one)
  const { id } = await one.service.repair('ecies/test')
  await approve(three)
  await waitFor(() => two.service.list().length === 1)
  await two.service.deny(two.service.list()[0]?.id ?? '')
  await approveUntilBack(one, [three, four])
  expect(hexOf(one.share)).toBe(lost)
  // Another request with another helper: a question of its own to the one that approved the first.
  expect(three.events.filter((event) => event === 'repair-requested')).toHaveLength(2)
  await waitFor(() => one.service.find(id).phase === 'done')
})

test('an approval ends with the repair it was for: the next one is a question again, and the old request cannot be approved', async () => {
  const [one, two, three] = [world.node(1), world.node(2), world.node(3)]
  lose(one)
  await one.service.repair('ecies/test')
  await approve(two)
  await approve(three)
  await waitFor(() => one.share !== undefined && two.service.list()[0]?.phase === 'done')
  const [over] = two.service.list()
  await expect(two.service.approve(over?.id ?? '')).rejects.toMatchObject({ code: 'repair-over' })
  await waitFor(() => one.service.list()[0]?.phase === 'done')
  lose(one)
  const { id } = await one.service.repair('ecies/test')
  await waitFor(() => one.service.find(id).refusals.length === 2)
  expect(one.service.find(id).refusals.map(({ reason }) => reason)).toEqual(['waiting', 'waiting'])
  expect(two.service.list().filter(({ phase }) => phase === 'waiting')).toHaveLength(1)
})

test('an approval is for the request that the operator saw: neither the next try nor a stranger with that node key gets it too', async () => {
  const [one, two, three] = [world.node(1), world.node(2), world.node(3)]
  lose(one)
  const { id } = await one.service.repair('ecies/test')
  await waitFor(() => two.service.list().length === 1 && three.service.list().length === 1)
  const asked = (): readonly (string | undefined)[] => [
    one.service.find(id).request,
    two.service.list().find(({ phase }) => phase !== 'done')?.id,
  ]
  expect(asked()[0]).toBe(asked()[1])
  const strangers = askAs(one)
  two.service.onFrame(one.index, Uint8Array.from(strangers))
  const byStranger = `0x${bytesKey(repairIdOf(strangers) ?? new Uint8Array())}`
  await waitFor(() => two.service.list().length === 2)
  await two.service.approve(one.service.find(id).request ?? '')
  await waitFor(() => two.service.list().some(({ phase }) => phase === 'collecting'))
  expect(two.service.find(byStranger).phase).toBe('waiting')
  const later = askAs(one)
  two.service.onFrame(one.index, Uint8Array.from(later))
  await one.service.replace(id, 3)
  await waitFor(() => two.service.list().some(({ end }) => end === 'released'))
  await waitFor(() => two.service.list().filter(({ phase }) => phase === 'waiting').length === 3)
  expect(two.service.list().some(({ phase }) => phase === 'collecting')).toBe(false)
  expect(asked()[0]).not.toBe(byStranger)
  expect(two.service.find(one.service.find(id).request ?? '').phase).toBe('waiting')
  await waitFor(() => three.service.list().every(({ phase }) => phase === 'done'))
})

test('a node that is away is replaced when the operator says so; with too few left the repair is stuck until `retry`', async () => {
  const [one, two, three, four] = [1, 2, 3, 4].map((index) => world.node(index)) as [
    TestNode,
    TestNode,
    TestNode,
    TestNode,
  ]
  lose(one)
  two.down = true
  three.down = true
  const { id } = await one.service.repair('ecies/test')
  await waitFor(() => one.service.find(id).missing.some(({ index }) => index === 2))
  expect(one.service.find(id).advice).toContain('no connection from here; start it')
  await one.service.replace(id, 2)
  await one.service.replace(id, 3)
  await waitFor(() => one.service.find(id).phase === 'stuck')
  expect(one.service.find(id).advice).toContain('Too few nodes are left')
  two.down = false
  await one.service.retry(id)
  await approve(two)
  await approve(four)
  await waitFor(() => one.share !== undefined)
})

test('a repair that broke off begins again with another rid; the rid before it stays spent', async () => {
  const [one, two, three] = [world.node(1), world.node(2), world.node(3)]
  const lost = lose(one)
  const { id } = await one.service.repair('ecies/test')
  await waitFor(() => one.service.find(id).refusals.length === 2)
  const [request] = world.frames.filter(({ to, message }) => to === 2 && readRepairRequest(message) !== undefined)
  one.full = true
  await approve(two)
  await approve(three)
  await waitFor(() => one.service.find(id).interrupted === true)
  expect(one.share).toBeUndefined()
  expect(one.service.find(id).advice).toContain('repair retry')
  await one.service.retry(id)
  expect(one.service.find(id).interrupted).toBe(true)
  one.full = false
  expect(await one.service.repair('ecies/test')).toMatchObject({ id })
  await approve(two)
  await approve(three)
  await waitFor(() => one.share !== undefined)
  expect(hexOf(one.share)).toBe(lost)
  const rids = world.frames.flatMap(({ message }) => readRepairRequest(message)?.rid ?? []).map(bytesKey)
  expect(new Set(rids).size).toBe(2)
  // Until it hears that the first request is over it answers with what it said.
  await waitFor(() => two.service.list().every(({ phase }) => phase === 'done'))
  const before = world.frames.length
  if (request === undefined) throw new Error('a request')
  two.service.onFrame(one.index, Uint8Array.from(request.message))
  const old = repairIdOf(request.message) ?? new Uint8Array()
  // Frames of the other rid may still be under way.
  const ofOld = (): Uint8Array[] =>
    world.frames.flatMap(({ message }, at) =>
      at >= before && Buffer.compare(repairIdOf(message) ?? new Uint8Array(), old) === 0 ? [message] : [],
    )
  await waitFor(() => ofOld().length > 0)
  expect(ofOld()).toEqual([encodeRepairRefusal(old, 'spent')])
})

test('`retry` begins a repair again that broke off; a helper that breaks off says so, and another takes its place', async () => {
  const [one, two, three, four] = [1, 2, 3, 4].map((index) => world.node(index)) as [
    TestNode,
    TestNode,
    TestNode,
    TestNode,
  ]
  const lost = lose(one)
  one.full = true
  const { id } = await one.service.repair('ecies/test')
  await waitFor(() => one.service.find(id).interrupted === true)
  one.full = false
  await one.service.retry(id)
  expect(one.service.find(id).interrupted).toBeUndefined()
  await waitFor(() => one.service.find(id).refusals.length === 2)
  two.full = true
  await approve(two)
  expect(two.service.list()[0]).toMatchObject({ interrupted: true })
  await approveUntilBack(one, [three, four])
  expect(hexOf(one.share)).toBe(lost)
})

test('what cannot be repaired is refused, and what is not the latest sharing any more is given up', async () => {
  const [one, two] = [world.node(1), world.node(2)]
  await expect(one.service.repair('ecies/test')).rejects.toMatchObject({ code: 'share-present' })
  await expect(one.service.repair('ecies/other')).rejects.toMatchObject({ code: 'unknown-key' })
  await expect(one.service.approve('0x12345678')).rejects.toMatchObject({ code: 'unknown-repair' })
  lose(one)
  const { id } = await one.service.repair('ecies/test')
  await approve(two)
  one.latest = false
  one.service.onKeysChanged()
  await waitFor(() => one.service.find(id).end === 'expired')
  two.latest = false
  two.service.onKeysChanged()
  await waitFor(() => two.service.list().every(({ phase }) => phase === 'done'))
  await expect.poll(() => two.store.list('repair'), { interval: 5 }).toEqual([])
  await expect(two.service.approve(two.service.list()[0]?.id ?? '')).rejects.toMatchObject({ code: 'repair-over' })
})

test('requests in a flood are refused before they are questions to the operator', async () => {
  const [one, two] = [world.node(1), world.node(2)]
  lose(one)
  const { id } = await one.service.repair('ecies/test')
  for (let tries = 0; tries < 15; tries++) {
    await one.service.replace(id, 4)
    await one.service.replace(id, 3)
    await one.service.retry(id)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  expect(two.service.list().length).toBeLessThanOrEqual(10)
})
