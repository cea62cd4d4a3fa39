import {
  approveInSlot,
  type CeremonySpec,
  ceremonyId,
  type ClusterId,
  type CommitteeConfig,
  createConfig,
  decodeSpec,
  emptySlot,
  encodeSpec,
  participantIndex,
  type ParticipantIndex,
  Secret,
  signMemberAuthorization,
  slotEntry,
} from '@tkms/dkg'
import { expect, test } from 'vitest'
import { markSetBack } from './ceremony/set-back.ts'
import { openSlotBook, type SlotBook } from './ceremony/slot-book.ts'
import { MAX_PROMISES, promisedSpecs, promiseFrames } from './ceremony/tell-promises.ts'
import { createWaitingRoom } from './ceremony/waiting-room.ts'
import { createSigner } from './identity/ed25519-signer.ts'
import type { CeremonyFrame, PromisedSpec } from './net/ceremony-frame.ts'
import { testCluster } from './net/test-hosts.fixture.ts'
import { type OpenedSetBack, openSetBackHere } from './open-set-back.ts'
import type { RecordStore } from './ports.ts'
import { memoryStore } from './store/memory-store.fixture.ts'

/** n = 7, t = 4: f = 1, so that 3 of the 6 others must tell. */
const { config: seven } = testCluster(7, [])
const config = createConfig({ ...seven, t: 4 })
const { clusterId } = config
const self = participantIndex(7)
const at = (index: number): ParticipantIndex => participantIndex(index)

const reshare = (attempt: number, change: Partial<CeremonySpec> = {}): CeremonySpec =>
  decodeSpec(
    encodeSpec({
      kind: 'reshare',
      suite: 1,
      clusterId,
      purpose: 'ecies-dec',
      keyName: 'ecies/1',
      generation: 1,
      epoch: 1,
      attempt,
      keyId: new Uint8Array(32).fill(1),
      prevOutcome: new Uint8Array(32).fill(2),
      oldConfig: config,
      newConfig: config,
      notAfter: 99,
      ...change,
    } as CeremonySpec),
  )
const promised = (spec: CeremonySpec, authorization?: Uint8Array): PromisedSpec => ({
  spec: encodeSpec(spec),
  ...(authorization && { authorization }),
})
const authOf = (spec: CeremonySpec, index: number): Uint8Array =>
  signMemberAuthorization(createSigner(new Secret(new Uint8Array(32).fill(index))), spec, at(index)).signature

/** Of the event loop: more than the writes of one frame take in a store in memory. */
const STORE_TURNS = 20

interface Bench {
  readonly store: RecordStore
  readonly slots: SlotBook
  readonly setBack: OpenedSetBack
  readonly sent: { readonly to: number; readonly frame: CeremonyFrame }[]
  readonly orders: Uint8Array[]
  readonly reminded: () => number
  /** Everything that a peer tells, taken in when it resolves. */
  tell(from: number, specs: readonly PromisedSpec[], last?: boolean): Promise<void>
}

async function open(store: RecordStore): Promise<Bench> {
  const slots = await openSlotBook(store)
  const sent: { to: number; frame: CeremonyFrame }[] = []
  const orders: Uint8Array[] = []
  let reminded = 0
  const setBack = await openSetBackHere({
    self,
    clusterId,
    committees: () => [config],
    genesis: config,
    keys: { list: () => [] },
    store,
    slots,
    network: { send: (to, frame) => sent.push({ to, frame }) > 0 },
    nodes: () => [],
    ceremonies: () => ({ promisesOf: () => [promised(reshare(0))], remind: () => void reminded++ }),
    destroys: () => ({
      signedBy: () => [new Uint8Array(5)],
      take: async (_from, message) => void orders.push(message),
    }),
    clock: { monotonicMs: () => 0 },
    log: { info: () => {}, warn: () => {}, error: () => {} },
  })
  const listener = setBack.listen({ onFrame: () => {}, onPeerConnected: () => {} })
  return {
    store,
    slots,
    setBack,
    sent,
    orders,
    reminded: () => reminded,
    tell: async (from, specs, last = true) => {
      listener.onFrame(at(from), { type: 'promises', specs, orders: last ? [new Uint8Array([from])] : [], last })
      for (let turn = 0; turn < STORE_TURNS; turn++) await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

async function restored(): Promise<Bench> {
  const store = memoryStore()
  await markSetBack(store)
  return open(store)
}
const committees: readonly CommitteeConfig[] = [config]

test('a store that was not restored waits for nobody, asks nobody and believes nobody', async () => {
  const { setBack, slots, sent, tell, reminded } = await open(memoryStore())
  expect([setBack.state(), setBack.awaited(committees)]).toEqual([undefined, []])
  setBack.ask(at(1))
  await tell(1, [promised(reshare(0))])
  expect([sent, slots.earlier, reminded()]).toEqual([[], [], 0])
})

test('2f + 1 others must have told everything that they were asked for; until then a restart begins again', async () => {
  const { setBack, store, sent, tell, reminded } = await restored()
  await tell(1, [])
  for (const index of [1, 2, 3]) setBack.ask(at(index))
  expect(sent.map(({ to, frame }) => [to, frame.type])).toEqual([1, 2, 3].map((to) => [to, 'promisesRequest']))
  await tell(1, [])
  await tell(2, [promised(reshare(0))], false)
  await tell(1, [])
  expect(setBack.awaited(committees)).toEqual([2, 3, 4, 5, 6])
  expect(reminded()).toBe(1)
  const again = await open(store)
  expect(again.setBack.awaited(committees)).toEqual([1, 2, 3, 4, 5, 6])
  await tell(2, [])
  expect(setBack.state()).toEqual({ awaited: ['3', '4', '5', '6'] })
  await tell(3, [])
  expect([setBack.state(), setBack.awaited(committees)]).toEqual([undefined, []])
  expect((await open(store)).setBack.state()).toBeUndefined()
})

test('an AUTH of its own is taken over, one that is not leaves a doubt, and X of others or another cluster nothing', async () => {
  const { setBack, slots, tell, orders } = await restored()
  setBack.ask(at(1))
  const elsewhere = { clusterId: new Uint8Array(32).fill(8) as ClusterId }
  const without = createConfig({ ...config, t: 3, members: config.members.slice(0, 6) })
  const foreign = createConfig({ ...config, ...elsewhere })
  await tell(1, [
    promised(reshare(1), authOf(reshare(1), 7)),
    promised(reshare(2), authOf(reshare(2), 6)),
    promised(reshare(3, { oldConfig: without, newConfig: without } as Partial<CeremonySpec>)),
    promised(reshare(4, { ...elsewhere, oldConfig: foreign, newConfig: foreign } as Partial<CeremonySpec>)),
    { spec: new Uint8Array(40) },
  ])
  expect(slots.earlier.map(({ attempt }) => attempt)).toEqual([1, 2])
  const entry = (attempt: number) => slotEntry(slots.state(reshare(attempt)), ceremonyId(reshare(attempt)))
  expect(entry(1)).toMatchObject({ approval: 'none', authorization: authOf(reshare(1), 7) })
  expect(entry(2)).toMatchObject({ approval: 'none', doubtful: true })
  expect(entry(2)).not.toHaveProperty('authorization')
  expect(orders).toEqual([new Uint8Array([1])])
})

test('who tells more than anybody has to say is not heard any further', async () => {
  const { setBack, slots, tell } = await restored()
  setBack.ask(at(1))
  const page = Array.from({ length: 32 }, () => promised(reshare(0)))
  for (let told = 0; told < 4 * MAX_PROMISES; told += page.length) await tell(1, page, false)
  await tell(1, [promised(reshare(1))])
  expect(slots.earlier.map(({ attempt }) => attempt)).toEqual([0])
  expect(setBack.awaited(committees)).toContain(1)
})

test('who asks is told, a page at a time, and not as often as it likes', async () => {
  const { setBack, sent } = await open(memoryStore())
  const listener = setBack.listen({ onFrame: () => {}, onPeerConnected: () => {} })
  for (let asked = 0; asked < 20; asked++) listener.onFrame(at(2), { type: 'promisesRequest' })
  expect(sent).toHaveLength(16)
  expect(sent[0]).toEqual({
    to: 2,
    frame: { type: 'promises', specs: [promised(reshare(0))], orders: [new Uint8Array(5)], last: true },
  })
  const pages = promiseFrames(
    Array.from({ length: 33 }, () => promised(reshare(0))),
    [],
  )
  expect(pages.map((frame) => frame.type === 'promises' && [frame.specs.length, frame.last])).toEqual([
    [32, false],
    [1, true],
  ])
})

test('X that this node agreed to goes before all others, and of AUTHs that wait here only the one that verifies is told', () => {
  const theirs = reshare(1, { notAfter: 2000 })
  const own = reshare(2, { notAfter: 1 })
  const room = createWaitingRoom(10_000)
  const ceremony = ceremonyId(theirs)
  const wait = (signature: Uint8Array) => room.add(at(1), { type: 'authorization', ceremony, index: self, signature })
  const tell = () =>
    promisedSpecs(self, {
      specs: [theirs, own],
      slot: (spec) => (spec === own ? approvedSlot : emptySlot),
      authorizationOf: (spec, of) => room.authorizationOf(spec, of),
      keys: { list: () => [] },
    })
  const approved = approveInSlot(emptySlot, own, 'plain')
  if ('refusal' in approved) throw new Error(approved.refusal)
  const { state: approvedSlot } = approved
  wait(authOf(theirs, 6))
  expect(tell()).toEqual([promised(own)])
  wait(authOf(theirs, 7))
  expect(tell()).toEqual([promised(own), promised(theirs, authOf(theirs, 7))])
})
