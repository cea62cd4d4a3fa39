import { Secret } from '@tkms/dkg'
import { expect, it } from 'vitest'
import { memoryStore } from '../store/memory-store.fixture.ts'
import { openOdometer, type Odometer } from './odometer.ts'

const HOUR = 3_600_000
const store = memoryStore()
const wall = { nowMs: 1_000 * HOUR }

/** A process that starts now and runs `ms`. */
async function run(ms: number): Promise<Odometer> {
  let monotonicMs = 500
  const odometer = await openOdometer(store, { nowMs: () => wall.nowMs, monotonicMs: () => monotonicMs })
  monotonicMs += ms
  wall.nowMs += ms
  return odometer
}

it('counts what ran, and the pauses that the wall clock tells of, but never backwards', async () => {
  const first = await run(HOUR)
  expect(first.read()).toEqual({ ranMs: HOUR, totalMs: HOUR })
  await first.save()
  wall.nowMs += 5 * HOUR
  const second = await run(HOUR)
  expect(second.read()).toEqual({ ranMs: 2 * HOUR, totalMs: 7 * HOUR })
  await second.save()
  wall.nowMs -= 500 * HOUR
  const third = await run(HOUR)
  expect(third.read()).toEqual({ ranMs: 3 * HOUR, totalMs: 8 * HOUR })
  wall.nowMs += 1_000_000 * HOUR
  expect(third.read()).toEqual({ ranMs: 3 * HOUR, totalMs: 8 * HOUR })
})

it('takes time that ran unsaved before a crash for a pause', async () => {
  const saved = await run(0)
  await saved.save()
  const { ranMs, totalMs } = saved.read()
  await run(2 * HOUR)
  expect((await run(0)).read()).toEqual({ ranMs, totalMs: totalMs + 2 * HOUR })
})

it('a lost record is made good by what else says how much has passed', async () => {
  await store.put('odometer', 'odometer', new Secret(Uint8Array.of(9, 9)))
  const odometer = await run(HOUR)
  expect(odometer.read()).toEqual({ ranMs: HOUR, totalMs: HOUR })
  odometer.raise({ ranMs: 5 * HOUR, totalMs: 0 })
  expect(odometer.read()).toEqual({ ranMs: 5 * HOUR, totalMs: HOUR })
})
