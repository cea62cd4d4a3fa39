import {
  createConfig,
  encodeSpec,
  type KeyId,
  type KeygenSpec,
  participantIndex,
  type ReshareSpec,
  type SharingId,
} from '@tkms/dkg'
import { beforeEach, expect, test, vi } from 'vitest'
import { testCluster } from '../net/test-hosts.fixture.ts'
import type { RecordStore } from '../ports.ts'
import { memoryStore } from '../store/memory-store.fixture.ts'
import { plausibilityOf } from './plausible-promise.ts'
import { markSetBack, openSetBack, type Promises, type SetBack } from './set-back.ts'
import { openSlotBook, type SlotBook } from './slot-book.ts'
import { MAX_PROMISES, promiseFrames } from './tell-promises.ts'

const { config } = testCluster(4, [])
const { config: larger } = testCluster(5, [])
const [one, two, three, four] = [1, 2, 3, 4].map(participantIndex)
if (one === undefined || two === undefined || three === undefined || four === undefined) throw new Error('four nodes')

const keygen = (notAfter: number): KeygenSpec => ({
  kind: 'keygen',
  suite: 1,
  clusterId: config.clusterId,
  purpose: 'ecies-dec',
  keyName: 'ecies/1',
  generation: 1,
  epoch: 0,
  attempt: 0,
  newConfig: config,
  notAfter,
})
const keyId = new Uint8Array(32).fill(1) as KeyId
const reshare = (epoch: number): ReshareSpec => ({
  ...keygen(1),
  kind: 'reshare',
  epoch,
  keyId,
  prevOutcome: new Uint8Array(32).fill(2) as SharingId,
  oldConfig: config,
})
const frame = (
  specs: readonly { readonly spec: Uint8Array }[],
  last: boolean,
  orders: Uint8Array[] = [],
): Promises => ({
  type: 'promises',
  specs,
  orders,
  last,
})
const sent = (...specs: readonly (KeygenSpec | ReshareSpec)[]) => specs.map((spec) => ({ spec: encodeSpec(spec) }))

let store: RecordStore
let slots: SlotBook
let setBack: SetBack
const takeOrder = vi.fn<() => Promise<void>>()
const plausibility = vi.fn<(spec: unknown) => 'plausible' | 'early' | 'foreign'>()

beforeEach(async () => {
  takeOrder.mockReset().mockResolvedValue()
  plausibility.mockReset().mockReturnValue('plausible')
  store = memoryStore()
  await markSetBack(store)
  slots = await openSlotBook(store)
  setBack = await openSetBack({
    self: four,
    clusterId: config.clusterId,
    store,
    slots,
    network: { send: () => true },
    committees: () => [config],
    plausibility,
    takeOrder,
    log: { info: () => {}, warn: () => {}, error: () => {} },
  })
})

test('what nobody asked for, and what a peer streams without an end, is dropped before it waits for its turn', async () => {
  const order = new Uint8Array(60_000)
  expect(await setBack.take(one, frame([], true, [order]))).toBe(false)
  expect(takeOrder).not.toHaveBeenCalled()
  setBack.ask(one)
  let go = (): void => {}
  takeOrder.mockReturnValueOnce(new Promise((resolve) => (go = resolve)))
  const first = setBack.take(one, frame([], false, [order]))
  await vi.waitFor(() => expect(takeOrder).toHaveBeenCalledTimes(1))
  const flood = Array.from({ length: 1_000 }, () => setBack.take(one, frame([], false, [order])))
  go()
  await Promise.all([first, ...flood])
  expect(takeOrder.mock.calls.length).toBeLessThan(40)
  expect(await setBack.take(one, frame([], true))).toBe(false)
  for (let at = 0; at < 2_000; at++) await setBack.take(one, frame([], false))
  await setBack.take(one, frame([], true, [order]))
  expect(setBack.missing).toContain(one)
})

test('an answer that could not be kept whole does not count, the next one does', async () => {
  setBack.ask(one)
  takeOrder.mockRejectedValueOnce(new Error('ENOSPC'))
  await expect(setBack.take(one, frame([], false, [new Uint8Array(1)]))).rejects.toThrow('ENOSPC')
  expect(await setBack.take(one, frame([], true))).toBe(false)
  expect(setBack.missing).toContain(one)
  expect(await setBack.take(one, frame([], true))).toBe(true)
})

test('a peer whose answer breaks off again and again is heard in the end', async () => {
  const specs = Array.from({ length: 200 }, () => sent(keygen(1))).flat()
  for (let at = 0; at < 10; at++) {
    setBack.ask(one)
    await setBack.take(one, frame(specs, false))
  }
  setBack.ask(one)
  expect(await setBack.take(one, frame(specs, true))).toBe(true)
})

test('what cannot be true is not kept; what comes before its certificates is told again', async () => {
  setBack.ask(one)
  setBack.ask(two)
  plausibility.mockReturnValueOnce('foreign')
  expect(await setBack.take(one, frame(sent(keygen(1)), true))).toBe(true)
  plausibility.mockReturnValueOnce('early')
  expect(await setBack.take(two, frame(sent(keygen(1)), true))).toBe(false)
  expect(slots.earlier).toEqual([])
  expect(await setBack.take(two, frame(sent(keygen(1)), true))).toBe(true)
  expect(slots.earlier).toHaveLength(1)
})

test('a new key is made by a committee of this cluster, a resharing leads to the next epoch', () => {
  const none = { list: () => [] }
  const made = createConfig({ ...larger, members: larger.members.slice(1) })
  expect(plausibilityOf(keygen(1), config, none)).toBe('plausible')
  expect(plausibilityOf({ ...keygen(1), newConfig: made }, config, none)).toBe('foreign')
  expect(plausibilityOf(reshare(7), config, none)).toBe('plausible')
  expect(plausibilityOf({ ...reshare(7), oldConfig: made }, config, none)).toBe('foreign')
  const key = { keyId, epoch: 6, config: made }
  const keys = { list: () => [], history: () => [key] } as unknown as Parameters<typeof plausibilityOf>[2]
  expect(plausibilityOf(reshare(7), config, keys)).toBe('plausible')
  expect(plausibilityOf(reshare(8), config, keys)).toBe('early')
  expect(plausibilityOf({ ...keygen(1), newConfig: made }, config, keys)).toBe('plausible')
})

test('an answer that leaves something out has no end', () => {
  const specs = Array.from({ length: MAX_PROMISES + 1 }, () => ({ spec: encodeSpec(keygen(1)) }))
  const lastOf = (count: number) => promiseFrames(specs.slice(0, count), []).map((one) => 'last' in one && one.last)
  expect(lastOf(MAX_PROMISES).at(-1)).toBe(true)
  expect(lastOf(MAX_PROMISES + 1)).not.toContain(true)
  expect(lastOf(MAX_PROMISES + 1)).toHaveLength(lastOf(MAX_PROMISES).length)
})
