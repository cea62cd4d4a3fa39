import { expect, it } from 'vitest'
import { createWorkQueue } from './work-queue.ts'

const spin = (ms: number): void => {
  const endMs = performance.now() + ms
  while (performance.now() < endMs) continue
}

it('lets the event loop come between calls that take long one after the other', async () => {
  const queue = createWorkQueue({ maxRunning: 1, maxWaiting: 100 })
  const { signal } = new AbortController()
  let left = 40
  let turns = 0
  const count = (): void => {
    turns++
    if (left > 0) setImmediate(count)
  }
  setImmediate(count)
  const call = (): Promise<number | 'busy' | 'cancelled'> =>
    queue.enter(signal, async () => {
      spin(1)
      return left--
    })
  const order = await Promise.all(Array.from({ length: left }, call))
  expect(order).toEqual(Array.from({ length: 40 }, (_, at) => 40 - at))
  expect(turns).toBeGreaterThanOrEqual(5)
  expect(queue.size).toBe(0)
})

it('leaves the place of a call that ended to who waits, not to who comes then', async () => {
  const queue = createWorkQueue({ maxRunning: 1, maxWaiting: 10 })
  const { signal } = new AbortController()
  const order: string[] = []
  const call = (name: string): Promise<unknown> =>
    queue.enter(
      signal,
      async () => {
        order.push(name)
        spin(6)
      },
      name,
    )
  const [, second, third] = [call('first'), call('second'), call('third')]
  await second
  const comes = call('comes')
  await Promise.all([third, comes])
  expect(order).toEqual(['first', 'second', 'third', 'comes'])
})
