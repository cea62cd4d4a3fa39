import { type ClusterNode, participantIndex, Secret } from '@tkms/dkg'
import { expect, test } from 'vitest'
import { createRoster, type RosterEntry } from '../net/roster.ts'
import { testCluster } from '../net/test-hosts.fixture.ts'
import type { RecordStore } from '../ports.ts'
import { memoryStore } from '../store/memory-store.fixture.ts'
import { openProofMemory } from './proof-memory.ts'

const { nodes } = testCluster(4, [])
const [one, two, three, four] = nodes as unknown as [ClusterNode, ClusterNode, ClusterNode, ClusterNode]
const member = (node: ClusterNode): RosterEntry => ({ node, role: 'member' })
const HOUR_MS = 3_600_000
const proof = (acceptedMs: number): { acceptedMs: number; expiresMs: number } => ({ acceptedMs, expiresMs: 9e12 })

/** A store that counts what is written, and fails where it is told to. */
function countingStore(): RecordStore & { puts: number; fails: boolean } {
  const store = memoryStore()
  const counting = {
    ...store,
    puts: 0,
    fails: false,
    put: async (...given: Parameters<RecordStore['put']>): Promise<void> => {
      counting.puts++
      if (counting.fails) throw new Error('the disk is full')
      await store.put(...given)
    },
  }
  return counting
}

async function open(store: RecordStore, roster = createRoster(nodes, participantIndex(1))) {
  const errors: unknown[] = []
  const memory = await openProofMemory({ store, roster, onError: (cause) => void errors.push(cause) })
  return { memory, roster, errors }
}

test('what was kept outlives the process, and what was forgotten does not come back', async () => {
  const store = countingStore()
  const { memory, errors } = await open(store)
  memory.keep(two.publicKey, proof(5))
  memory.keep(three.publicKey, proof(6))
  memory.forget(two.publicKey)
  await memory.settled()
  const { memory: again } = await open(store)
  expect([two, three, four].map(({ publicKey }) => again.get(publicKey))).toEqual([undefined, proof(6), undefined])
  again.forget(three.publicKey)
  await again.settled()
  expect((await open(store)).memory.get(three.publicKey)).toBeUndefined()
  expect(errors).toEqual([])
})

test('a proof is written when it is an hour newer than what is written; many at once are written together', async () => {
  const store = countingStore()
  const { memory } = await open(store)
  for (const node of [two, three, four]) memory.keep(node.publicKey, proof(1000))
  await memory.settled()
  expect(store.puts).toBe(2)
  memory.keep(two.publicKey, proof(1000 + HOUR_MS - 1))
  await memory.settled()
  expect(store.puts).toBe(2)
  expect(memory.get(two.publicKey)).toEqual(proof(1000 + HOUR_MS - 1))
  memory.keep(two.publicKey, proof(1000 + HOUR_MS))
  await memory.settled()
  expect(store.puts).toBe(3)
  expect((await open(store)).memory.get(two.publicKey)).toEqual(proof(1000 + HOUR_MS))
})

test('who leaves the roster, is a member no more, or was never one, is forgotten', async () => {
  const store = memoryStore()
  const { memory, roster } = await open(store)
  memory.keep(one.publicKey, proof(1))
  expect(memory.get(one.publicKey)).toBeUndefined()
  for (const node of [two, three, four]) memory.keep(node.publicKey, proof(1))
  await memory.settled()
  roster.set([member({ ...two, multiaddrs: [] }), { node: three, role: 'former' }])
  await memory.settled()
  const known = async (): Promise<unknown> => {
    const { memory: fresh } = await open(store)
    return [two, three, four].map(({ publicKey }) => fresh.get(publicKey)?.acceptedMs)
  }
  expect(await known()).toEqual([1, undefined, undefined])
  memory.keep(three.publicKey, proof(2))
  expect(memory.get(three.publicKey)).toBeUndefined()
  const smaller = await open(store, createRoster([one, three], participantIndex(1)))
  await smaller.memory.settled()
  expect(await known()).toEqual([undefined, undefined, undefined])
})

test('a member that only changes its addresses or comes back in another place keeps its proof', async () => {
  const { memory, roster } = await open(memoryStore())
  memory.keep(two.publicKey, proof(1))
  roster.set([member({ ...two, index: participantIndex(7) })])
  expect(memory.get(two.publicKey)).toEqual(proof(1))
})

test('a failing disk is told, and what is known stays in use', async () => {
  const store = countingStore()
  const { memory, errors } = await open(store)
  store.fails = true
  memory.keep(two.publicKey, proof(1))
  await memory.settled()
  expect(errors).toEqual([new Error('the disk is full')])
  expect(memory.get(two.publicKey)).toEqual(proof(1))
})

test.for([[[]], [[2, 0, 0, 0, 0]], [[1, 0, 0, 0, 1]], [[1, 0xff, 0xff, 0xff, 0xff]], [[1, 0, 0, 0, 0, 0]]])(
  'a damaged record counts as none: %j',
  async ([bytes]) => {
    const store = memoryStore()
    await store.put('attested', 'last', new Secret(Uint8Array.from(bytes ?? [])))
    const { memory } = await open(store)
    memory.keep(two.publicKey, proof(1))
    await memory.settled()
    expect((await open(store)).memory.get(two.publicKey)).toEqual(proof(1))
  },
)
