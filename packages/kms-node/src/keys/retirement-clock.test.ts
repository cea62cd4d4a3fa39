import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createRetirementClock } from './retirement-clock.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

it('ticks when a share is due, at least once a minute before, and not at all while none retires', async () => {
  let dueMs: number | undefined = 150_000
  const start = Date.now()
  const ticks: number[] = []
  const clock = createRetirementClock({
    nextDueMs: () => dueMs,
    tick: async () => {
      const at = Date.now() - start
      ticks.push(at)
      dueMs = at < 150_000 ? 150_000 - at : undefined
    },
    onError: () => undefined,
  })
  clock.wake()
  await vi.advanceTimersByTimeAsync(600_000)
  expect(ticks).toEqual([60_000, 120_000, 150_000])
  dueMs = 5_000
  clock.wake()
  await vi.advanceTimersByTimeAsync(5_000)
  expect(ticks).toHaveLength(4)
  await clock.stop()
})

it('tries again after a failure, later and later, and stops when it is told', async () => {
  let failures = 0
  const errors: unknown[] = []
  const clock = createRetirementClock({
    nextDueMs: () => 0,
    tick: () => Promise.reject(new Error(`disk full ${++failures}`)),
    onError: (cause) => errors.push(cause),
  })
  clock.wake()
  await vi.advanceTimersByTimeAsync(600_000)
  expect(errors.length).toBe(failures)
  expect(failures).toBeGreaterThan(8)
  expect(failures).toBeLessThan(40)
  await clock.stop()
  clock.wake()
  await vi.advanceTimersByTimeAsync(600_000)
  expect(errors.length).toBe(failures)
})
