import { ceremonyId, type KeyId, participantIndex, type ReshareSpec, type SharingId } from '@tkms/dkg'
import { expect, test, vi } from 'vitest'
import { testCluster } from '../net/test-hosts.fixture.ts'
import { memoryStore } from '../store/memory-store.fixture.ts'
import { openSlotBook } from './slot-book.ts'
import { MAX_DOUBTFUL_PER_PEER } from './told-record.ts'

const { config } = testCluster(4, [])
const reshare = (notAfter: number): ReshareSpec => ({
  kind: 'reshare',
  suite: 1,
  clusterId: config.clusterId,
  purpose: 'ecies-dec',
  keyName: 'ecies/1',
  generation: 1,
  epoch: 1,
  attempt: 0,
  keyId: new Uint8Array(32).fill(1) as KeyId,
  prevOutcome: new Uint8Array(32).fill(2) as SharingId,
  oldConfig: config,
  newConfig: config,
  notAfter,
})
const two = participantIndex(2)
const told = (fill: number): Uint8Array => new Uint8Array(64).fill(fill)

test('of two X of one attempt that others showed the AUTH of, each has its own', async () => {
  const slots = await openSlotBook(memoryStore())
  await slots.takeOver(two, [{ spec: reshare(1), authorization: told(1) }])
  await slots.takeOver(two, [{ spec: reshare(2), authorization: told(2) }])
  await slots.approve(reshare(2), 'plain')
  const own = {
    holdsOldShare: true,
    knowsCertificate: false,
    sign: () => {
      throw new Error('signed again')
    },
  }
  expect(await slots.authorize(reshare(2), own)).toEqual(told(2))
})

test('one peer brings so many doubtful X and no more, each answer in one write, also after a restart', async () => {
  const store = memoryStore()
  const put = vi.spyOn(store, 'put')
  const slots = await openSlotBook(store)
  const tell = (from: number, count: number) =>
    Array.from({ length: count }, (_, at) => ({ spec: reshare(1000 * from + at) }))
  expect(await slots.takeOver(two, tell(2, MAX_DOUBTFUL_PER_PEER))).toBe(true)
  expect(await slots.takeOver(two, tell(2, MAX_DOUBTFUL_PER_PEER))).toBe(true)
  expect(put).toHaveBeenCalledTimes(1)
  const again = await openSlotBook(store)
  expect(again.earlier.map(ceremonyId)).toEqual(slots.earlier.map(ceremonyId))
  expect(again.state(reshare(1))).toEqual(slots.state(reshare(1)))
  expect(await again.takeOver(two, tell(3, 1))).toBe(false)
  expect(again.earlier).toHaveLength(MAX_DOUBTFUL_PER_PEER)
  expect(await again.takeOver(two, [{ spec: reshare(9), authorization: told(1) }])).toBe(true)
  expect(await again.takeOver(participantIndex(3), tell(3, 2))).toBe(true)
  const third = await openSlotBook(store)
  expect(third.earlier).toHaveLength(MAX_DOUBTFUL_PER_PEER + 3)
  expect(third.state(reshare(1))).toEqual(again.state(reshare(1)))
  await expect(third.approve(reshare(5), 'plain')).rejects.toMatchObject({ code: 'slot-other-approved' })
})
