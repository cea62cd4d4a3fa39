import { type KeyId, type ReshareSpec, type SharingId } from '@tkms/dkg'
import { expect, test } from 'vitest'
import { testCluster } from '../net/test-hosts.fixture.ts'
import { memoryStore } from '../store/memory-store.fixture.ts'
import { openSlotBook } from './slot-book.ts'

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
const told = (fill: number): Uint8Array => new Uint8Array(64).fill(fill)

test('of two X of one attempt that others showed the AUTH of, each has its own', async () => {
  const slots = await openSlotBook(memoryStore())
  await slots.takeOver(reshare(1), told(1))
  await slots.takeOver(reshare(2), told(2))
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
