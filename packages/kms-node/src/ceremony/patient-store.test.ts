import { Secret } from '@tkms/dkg'
import { expect, test } from 'vitest'
import type { RecordStore } from '../ports.ts'
import { storeError } from '../store/errors.ts'
import { memoryStore } from '../store/memory-store.fixture.ts'
import { createPatientStore } from './patient-store.ts'

const record = (): Secret => new Secret(Uint8Array.of(1))

/** Refuses `times` writes for want of room. */
function fullStore(times: number): RecordStore {
  const store = memoryStore()
  let left = times
  return {
    ...store,
    put: (kind, id, plaintext) =>
      left-- > 0 ? Promise.reject(storeError('disk-full', 'no room')) : store.put(kind, id, plaintext),
  }
}

test('a write waits until the disk has room again, and says so', async () => {
  const told: boolean[] = []
  const inner = fullStore(3)
  const store = createPatientStore(inner, {
    signal: new AbortController().signal,
    onWait: (waiting) => told.push(waiting),
    firstPauseMs: 1,
  })
  await store.put('ceremony', 'a', record())
  expect(told).toEqual([true, false])
  expect(await inner.list('ceremony')).toEqual(['a'])
})

test('the waiting ends with the node, and another failure is not waited for', async () => {
  const stop = new AbortController()
  const store = createPatientStore(fullStore(Number.POSITIVE_INFINITY), {
    signal: stop.signal,
    onWait: () => stop.abort(),
  })
  await expect(store.put('ceremony', 'a', record())).rejects.toMatchObject({ code: 'disk-full' })
  const broken = { ...memoryStore(), put: () => Promise.reject(storeError('store-io', 'broken')) }
  const waits: boolean[] = []
  const second = createPatientStore(broken, {
    signal: new AbortController().signal,
    onWait: (waiting) => waits.push(waiting),
  })
  await expect(second.put('ceremony', 'a', record())).rejects.toMatchObject({ code: 'store-io' })
  expect(waits).toEqual([])
})
