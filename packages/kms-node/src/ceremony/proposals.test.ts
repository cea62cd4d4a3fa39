import { encodeSpec, type KeygenSpec, participantIndex, Secret } from '@tkms/dkg'
import { expect, test } from 'vitest'
import { testCluster } from '../net/test-hosts.fixture.ts'
import { memoryStore } from '../store/memory-store.fixture.ts'
import { checkMembers, checkSpec } from './check-spec.ts'
import { drawViewSeeds } from './hedged-seeds.ts'
import type { CeremonyKeys } from './ports.ts'
import { createProposals, type Proposals } from './proposals.ts'
import { openSlotBook } from './slot-book.ts'
import { createWaitingRoom } from './waiting-room.ts'

const cluster = testCluster(4, [])
const NOW_S = 1_800_000_000

const spec: KeygenSpec = {
  kind: 'keygen',
  suite: 1,
  clusterId: cluster.config.clusterId,
  purpose: 'ecies-dec',
  keyName: 'ecies/1',
  generation: 1,
  epoch: 0,
  attempt: 0,
  newConfig: cluster.config,
  notAfter: NOW_S + 3600,
}
const two = participantIndex(2)
const noKeys: CeremonyKeys = {
  list: () => [],
  find: () => undefined,
  copyShare: () => undefined,
  install: () => Promise.reject(new Error('nothing is certified here')),
  learn: async () => undefined,
}
const sent = (of: KeygenSpec) => ({ spec: encodeSpec(of), nodes: [] })
const proposalsAt = (nowS: () => number): Proposals => {
  const context = { cluster, self: participantIndex(1), nodes: cluster.nodes, keys: noKeys, undecided: () => [] }
  return createProposals({ nowS, check: (of, nodes) => checkSpec({ ...context, nowS: nowS() }, of, nodes) })
}

test('a proposal for this committee waits, and the same one again changes nothing', () => {
  const proposals = proposalsAt(() => NOW_S)
  expect(proposals.receive(two, sent(spec))).toMatchObject({ proposedBy: 2 })
  expect(proposals.receive(two, sent(spec))).toBeUndefined()
  expect(proposals.list()).toHaveLength(1)
})

const [, , , four, five] = testCluster(5, []).nodes
if (four === undefined || five === undefined) throw new Error('five nodes')

test('who is no member of the committee does not come into the address book with its proposal', () => {
  const proposals = proposalsAt(() => NOW_S)
  const impostor = { ...five, index: four.index }
  const received = proposals.receive(two, { ...sent(spec), nodes: [five, impostor, four] })
  expect(received?.nodes).toEqual([four])
})

test.for([
  ['its own entry', [five], undefined],
  ['no entry', [], 'where node 5 is reached'],
  ['the entry of another identity', [{ ...five, publicKey: four.publicKey }], 'where node 5 is reached'],
  ['the name of another node', [{ ...five, name: four.name }], 'the name or the URL of node 4'],
  ['the URL of another node', [{ ...five, url: four.url }], 'the name or the URL of node 4'],
] as const)('a new member with %s', ([, nodes, problem]) => {
  const check = (): void => checkMembers(cluster, testCluster(5, []).config, nodes)
  if (problem === undefined) expect(check).not.toThrow()
  else
    expect(check).toThrow(
      expect.objectContaining({ code: 'bad-proposal', message: expect.stringContaining(problem) as unknown }),
    )
})

const other = testCluster(5, []).config
test.for([
  [
    'another cluster',
    {
      ...spec,
      clusterId: new Uint8Array(32) as never,
      newConfig: { ...cluster.config, clusterId: new Uint8Array(32) as never },
    },
    'bad-proposal',
  ],
  ['another committee', { ...spec, newConfig: other }, 'other-committee'],
  ['a year of time', { ...spec, notAfter: NOW_S + 366 * 86_400 }, 'bad-proposal'],
  ['a time that has passed', { ...spec, notAfter: NOW_S - 1 }, 'expired'],
] as const)('a proposal with %s is refused', ([, bad, code]) => {
  const proposals = proposalsAt(() => NOW_S)
  expect(() => proposals.receive(two, sent(bad))).toThrow(expect.objectContaining({ code }))
  expect(() => proposals.receive(two, { spec: Uint8Array.of(1, 2, 3), nodes: [] })).toThrow(
    expect.objectContaining({ code: 'bad-proposal' }),
  )
})

test('one member has room for 16 proposals, the oldest goes first, and an expired one goes by itself', () => {
  let nowS = NOW_S
  const proposals = proposalsAt(() => nowS)
  for (let generation = 1; generation <= 20; generation++) proposals.receive(two, sent({ ...spec, generation }))
  proposals.receive(participantIndex(3), sent({ ...spec, generation: 99 }))
  expect(proposals.list().map((pending) => pending.spec.generation)).toEqual([
    ...Array.from({ length: 16 }, (_, at) => at + 5),
    99,
  ])
  nowS += 3601
  expect(proposals.list()).toEqual([])
})

test('a member that floods takes away nothing that another one proposed too', () => {
  const proposals = proposalsAt(() => NOW_S)
  proposals.receive(two, sent(spec))
  expect(proposals.receive(participantIndex(3), sent(spec))).toBeUndefined()
  for (let generation = 2; generation <= 20; generation++) proposals.receive(two, sent({ ...spec, generation }))
  const kept = proposals.list().filter((pending) => pending.spec.generation === 1)
  expect(kept).toMatchObject([{ proposedBy: 2 }])
})

test('one X is approved for a slot, the same again is fine, another never', async () => {
  const store = memoryStore()
  const slots = await openSlotBook(store)
  await slots.approve(spec, 'plain')
  await slots.approve(spec, 'plain')
  const rival = { ...spec, notAfter: spec.notAfter + 1 }
  await expect(slots.approve(rival, 'plain')).rejects.toMatchObject({ code: 'slot-other-approved' })
  await slots.approve({ ...spec, generation: 2 }, 'plain')
  const again = await openSlotBook(store)
  expect(new Set(again.earlier.map(({ generation }) => generation))).toEqual(new Set([1, 2]))
  await expect(again.approve(rival, 'plain')).rejects.toMatchObject({ code: 'slot-other-approved' })
})

test('what arrives before the approval is kept, bounded per peer in number and bytes', () => {
  const ceremony = new Uint8Array(32).fill(1)
  const room = createWaitingRoom(1000)
  const message = (length: number, fill: number) =>
    ({ type: 'message', ceremony, signed: new Uint8Array(length).fill(fill) }) as const
  for (let at = 0; at < 100; at++) room.add(two, message(1, at))
  room.add(participantIndex(3), message(600, 1))
  room.add(participantIndex(3), message(600, 2))
  room.add(participantIndex(4), { ...message(1, 1), ceremony: new Uint8Array(32).fill(2) })
  const claimed = room.claim(ceremony)
  expect(claimed.filter(({ from }) => from === two)).toHaveLength(64)
  expect(claimed.filter(({ from }) => from === 3)).toEqual([{ from: 3, frame: message(600, 2) }])
  expect(room.claim(ceremony)).toEqual([])
  expect(room.claim(new Uint8Array(32).fill(2))).toHaveLength(1)
})

test('a generator that repeats itself still gives every view and ceremony its own independent seeds', () => {
  const stuck = { bytes: (length: number) => new Uint8Array(length).fill(7) }
  const nodeSeed = new Secret(new Uint8Array(32).fill(3))
  const hexOf = (secret: Secret): string => secret.use((bytes) => Buffer.from(bytes).toString('hex'))
  const seeds = [0, 1].flatMap((view) =>
    [1, 2].flatMap((ceremony) => {
      const wanted = { view, dealing: true, receiver: true }
      const drawn = drawViewSeeds(stuck, nodeSeed, new Uint8Array(32).fill(ceremony) as never, wanted)
      return [drawn.dealing, drawn.receiver].flatMap((secret) => (secret === undefined ? [] : [hexOf(secret)]))
    }),
  )
  expect(new Set(seeds).size).toBe(8)
  expect(seeds.every((seed) => seed.length === 64)).toBe(true)
})
