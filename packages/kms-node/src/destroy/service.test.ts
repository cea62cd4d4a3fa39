import {
  bytesKey,
  decodeDestroyMessage,
  type ParticipantIndex,
  Secret,
  type SharingId,
  type VerifiedKey,
} from '@tkms/dkg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { memoryStore } from '../store/memory-store.fixture.ts'
import { repairWorld, type RepairWorld } from '../repair/service.fixture.ts'
import { systemClock } from '../system.ts'
import type { RecordStore } from '../ports.ts'
import { createDestroyService, type DestroyService } from './service.ts'

interface TestNode {
  readonly index: number
  readonly store: RecordStore
  readonly events: string[]
  service: DestroyService
  destroyedAtMs?: number
  orders: number
  forgotten: number
  newest: boolean
  undecided: boolean
  awaited?: readonly ParticipantIndex[]
  /** What it knows of the key, the latest first. */
  sharings: readonly VerifiedKey[]
  down: boolean
}

let world: RepairWorld
let nodes: readonly TestNode[]
let keyId: string

beforeEach(async () => {
  world = await repairWorld(4, 2, '/nowhere')
  keyId = `0x${bytesKey(world.key.keyId)}`
  nodes = world.nodes.map(({ index }): TestNode => {
    const node = {
      index,
      store: memoryStore(),
      events: [],
      orders: 0,
      forgotten: 0,
      newest: false,
      undecided: false,
      down: false,
    }
    return { ...node, sharings: [world.key], service: undefined as unknown as DestroyService }
  })
  for (const node of nodes) node.service = open(node)
})
afterEach(async () => {
  await Promise.all(nodes.map(({ service }) => service.stop()))
  await world.stop()
})

const at = (index: number): TestNode => {
  const found = nodes.find((node) => node.index === index)
  if (found === undefined) throw new Error(`there is no node ${index}`)
  return found
}

function open(node: TestNode): DestroyService {
  const { sign, index } = world.node(node.index)
  const deliver = (to: TestNode, message: Uint8Array): void => {
    if (to !== node && !to.down && !node.down) setImmediate(() => to.service.onFrame(index, Uint8Array.from(message)))
  }
  const log = (_fields: unknown, event: string): void => void node.events.push(event)
  return createDestroyService({
    self: index,
    sign,
    keys: {
      list: () => [
        {
          keyId: world.key.keyId,
          sharings: node.sharings,
          newest: node.newest,
          ...(node.destroyedAtMs !== undefined && { destroyedAtMs: node.destroyedAtMs }),
        },
      ],
      destroyKey: async (_keyId, order) => {
        expect(decodeDestroyMessage(order).kind).toBe('order')
        node.destroyedAtMs = 1
        node.orders++
      },
    },
    ceremonies: {
      awaited: () => node.awaited ?? [],
      undecidedOf: () => (node.undecided ? `0x${'c'.repeat(64)}` : undefined),
      forgetKey: async () => void node.forgotten++,
    },
    store: node.store,
    network: {
      send: (to, frame) => {
        const peer = nodes.find(({ index: other }) => other === to)
        if (peer !== undefined && frame.type === 'destroy') deliver(peer, frame.message)
        return true
      },
      broadcast: (frame) => {
        for (const peer of nodes) if (frame.type === 'destroy') deliver(peer, frame.message)
      },
    },
    clock: systemClock,
    timings: { retransmitMs: 20, retransmitMaxMs: 100 },
    log: { info: log, warn: log, error: log },
    nameOf: (other) => `node-${other}`,
  })
}

const waitFor = (what: () => boolean): Promise<void> => expect.poll(what, { interval: 5, timeout: 5_000 }).toBe(true)
const approve = (index: number) => at(index).service.approve('ecies/test', 1, keyId)

test('Q operators destroy a key at every node, and the receipts say when it is gone', async () => {
  const status = await approve(1)
  expect(status).toMatchObject({ phase: 'collecting', signedHere: true, signatures: { have: 1, want: 3 } })
  expect(status.advice).toContain(`keys destroy ecies/test --generation 1 --confirm ${keyId}`)
  await waitFor(() => at(2).events.includes('destroy-requested'))
  expect(at(2).service.list()[0]).toMatchObject({ signedHere: false, signatures: { have: 1 } })
  expect([at(1), at(2)].map(({ service }) => service.hasSigned(world.key.keyId))).toEqual([true, false])
  await approve(2)
  expect(nodes.some(({ destroyedAtMs }) => destroyedAtMs !== undefined)).toBe(false)
  await approve(3)
  await waitFor(() => nodes.every(({ service }) => service.list()[0]?.phase === 'gone'))
  for (const node of nodes) expect(node).toMatchObject({ destroyedAtMs: 1, orders: 1, forgotten: 1 })
  await expect(approve(4)).rejects.toMatchObject({ code: 'key-destroyed' })
})

test('from the moment in which an order is signed no ceremony of the key begins', async () => {
  const signed = approve(1)
  expect(at(1).service.hasSigned(world.key.keyId)).toBe(true)
  await signed
  expect(at(1).service.hasSigned(world.key.keyId)).toBe(true)
  at(2).undecided = true
  await expect(approve(2)).rejects.toMatchObject({ code: 'ceremony-open' })
  expect(at(2).service.hasSigned(world.key.keyId)).toBe(false)
})

test('a node that forgot what it signed is told by others, and begins no ceremony of the key then', async () => {
  await approve(1)
  await waitFor(() => at(2).events.includes('destroy-requested'))
  const [one, two] = [at(1), at(2)]
  expect(two.service.signedBy(world.node(2).index)).toEqual([])
  const told = two.service.signedBy(world.node(1).index)
  expect(told).toHaveLength(1)
  await one.service.stop()
  for (const id of await one.store.list('destroy')) await one.store.erase('destroy', id)
  one.service = open(one)
  await one.service.start()
  expect(one.service.hasSigned(world.key.keyId)).toBe(false)
  one.awaited = [world.node(2).index]
  await expect(approve(1)).rejects.toMatchObject({ code: 'restored', retryable: true })
  for (const message of told) await one.service.take(world.node(2).index, message)
  expect(one.service.hasSigned(world.key.keyId)).toBe(true)
  expect(await one.store.list('destroy')).toHaveLength(1)
})

test('a node that was away erases when it comes back, and until then the status names it', async () => {
  const [away] = [at(4)]
  away.down = true
  for (const index of [1, 2, 3]) await approve(index)
  await waitFor(() => at(1).service.list()[0]?.phase === 'erased')
  await waitFor(() => at(1).service.list()[0]?.sharings[0]?.have === 3)
  expect(at(1).service.list()[0]?.advice).toContain('1 of node-4 (4)')
  away.down = false
  for (const index of [1, 2, 3]) at(index).service.onPeerConnected(world.node(4).index)
  await waitFor(() => away.destroyedAtMs === 1 && at(1).service.list()[0]?.phase === 'gone')
})

test('a signature and an order survive a restart; erasing is done again until it is recorded', async () => {
  const one = at(1)
  await approve(1)
  await one.service.stop()
  one.service = open(one)
  await one.service.start()
  expect(one.service.hasSigned(world.key.keyId)).toBe(true)
  const [snapshot] = await one.store.list('destroy')
  expect(snapshot).toBe(keyId.slice(2))
  await approve(2)
  await approve(3)
  await waitFor(() => nodes.every(({ service }) => service.list()[0]?.phase === 'gone'))
  await one.service.stop()
  one.service = open(one)
  await one.service.start()
  expect(one.service.list()[0]?.phase).toBe('gone')
})

/** A sharing that followed the one of the key. */
const successor = (authorization: VerifiedKey['authorization'], more: Partial<VerifiedKey> = {}): VerifiedKey => ({
  ...world.key,
  epoch: 1,
  sharingId: new Uint8Array(32).fill(7) as SharingId,
  prevOutcome: world.key.sharingId,
  authorization,
  ...more,
})

test('an order is called void only where it can never be complete, and only where somebody signed it', async () => {
  const [one, two, three] = [at(1), at(2), at(3)]
  await approve(1)
  await waitFor(() => [two, three].every(({ events }) => events.includes('destroy-requested')))
  one.sharings = [successor('full'), world.key]
  two.sharings = [successor('degraded'), world.key]
  const { prevOutcome: _none, ...attempt } = successor('full', { epoch: 0, attempt: 1 })
  three.sharings = [attempt, world.key]
  for (const { service } of [one, two, three]) service.onKeysChanged()
  await waitFor(() => one.service.list().length === 0)
  await waitFor(() => [two, three].every(({ events }) => events.includes('destroy-order-overtaken')))
  expect(one.events).toContain('destroy-order-void')
  expect([two, three].flatMap(({ events }) => events)).not.toContain('destroy-order-void')
  expect(one.service.hasSigned(world.key.keyId)).toBe(false)
  expect(await one.store.list('destroy')).toEqual([])
})

test('a key that was only looked at has no order that could be void', async () => {
  const one = at(1)
  const noOrder = Uint8Array.of(1, 2, ...world.key.keyId, ...new Uint8Array(4 + 32 + 2))
  expect(decodeDestroyMessage(noOrder)).toMatchObject({ kind: 'order', signatures: [] })
  one.service.onFrame(world.node(2).index, noOrder)
  one.sharings = [successor('full'), world.key]
  one.service.onKeysChanged()
  expect(await approve(1)).toMatchObject({ signedHere: true, sharings: [{ epoch: 1 }, { epoch: 0 }] })
  expect(one.events).toEqual(['destroy-order-signed'])
})

test('an order that is complete holds, whatever becomes known while it is carried out, and after a restart', async () => {
  await approve(1)
  await approve(2)
  const three = at(3)
  await waitFor(() => three.service.list()[0]?.signatures.have === 2)
  const { service } = three
  const onFrame = (from: ParticipantIndex, message: Uint8Array): void => {
    service.onFrame(from, message)
    if (from !== 4) return
    three.sharings = [successor('degraded'), world.key]
    service.onKeysChanged()
  }
  three.service = { ...service, onFrame }
  await approve(4)
  await waitFor(() => three.destroyedAtMs === 1)
  await three.service.stop()
  three.service = open(three)
  const started = three.service.start()
  three.service.onKeysChanged()
  await started
  await waitFor(() => three.service.list()[0]?.phase === 'gone' || three.service.list()[0]?.phase === 'erased')
  expect(three.events.filter((event) => event.startsWith('destroy-order-'))).toEqual([])
})

test('an order that could not be signed or kept for want of room is signed when there is some, and not taken till then', async () => {
  const one = at(1)
  const four = at(4)
  const { put } = one.store
  one.store.put = four.store.put = () => Promise.reject(new Error('ENOSPC'))
  await expect(approve(1)).rejects.toMatchObject({ code: 'interrupted' })
  expect(one.service.hasSigned(world.key.keyId)).toBe(false)
  one.store.put = put
  expect(await approve(1)).toMatchObject({ signedHere: true })
  expect(one.events).toEqual(['destroy-interrupted', 'destroy-order-signed'])
  const { index } = world.node(1)
  const [message] = one.service.signedBy(index)
  await expect(four.service.take(index, message ?? Uint8Array.of())).rejects.toMatchObject({ code: 'interrupted' })
})

test('what must not be destroyed is not: no confirmation, an open ceremony, an unknown key, a spoiled record', async () => {
  const one = at(1)
  for (const confirm of [undefined, '0x00', keyId.slice(2)])
    await expect(one.service.approve('ecies/test', 1, confirm)).rejects.toMatchObject({ code: 'not-confirmed' })
  await expect(one.service.approve('ecies/test', 2, keyId)).rejects.toMatchObject({ code: 'unknown-key' })
  one.undecided = true
  await expect(approve(1)).rejects.toMatchObject({
    code: 'ceremony-open',
    message: expect.stringContaining(`ceremony abandon 0x${'c'.repeat(16)}`),
  })
  one.undecided = false
  expect(one.service.list()).toEqual([])
  await one.store.put('destroy', keyId.slice(2), new Secret(Uint8Array.of(9)))
  one.service = open(one)
  await one.service.start()
  expect(one.events).toContain('destroy-record-refused')
})

test('the newest generation of a name, which clients encrypt for, is destroyed only as the last one', async () => {
  for (const node of nodes) node.newest = true
  await expect(approve(1)).rejects.toMatchObject({ code: 'newest-generation' })
  expect(at(1).service.hasSigned(world.key.keyId)).toBe(false)
  expect(at(1).service.list()).toEqual([])
  const last = (index: number) => at(index).service.approve('ecies/test', 1, keyId, { last: true })
  const status = await last(1)
  expect(status).toMatchObject({ phase: 'collecting', last: true })
  expect(status.advice).toContain(`--confirm ${keyId} --last`)
  await waitFor(() => at(2).service.list()[0]?.advice?.includes('--last') === true)
  await last(2)
  await last(3)
  await waitFor(() => nodes.every(({ service }) => service.list()[0]?.phase === 'gone'))
})
