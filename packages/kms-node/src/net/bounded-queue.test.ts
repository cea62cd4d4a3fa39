import { expect, test } from 'vitest'
import { createBoundedQueue } from './bounded-queue.ts'

const bytes = (length: number): Uint8Array => new Uint8Array(length)

test('takes items up to either cap, and again once they are read', async () => {
  const queue = createBoundedQueue(3, 100)
  expect([60, 40, 1].map((length) => queue.push(bytes(length)))).toEqual([true, true, false])
  const reader = queue[Symbol.asyncIterator]()
  expect((await reader.next()).value).toHaveLength(60)
  expect([30, 30, 1].map((length) => queue.push(bytes(length)))).toEqual([true, true, false])
})

test('an item above the cap goes alone, so that no frame is too long to be sent', async () => {
  const queue = createBoundedQueue(3, 100)
  expect([1000, 1].map((length) => queue.push(bytes(length)))).toEqual([true, false])
  expect((await queue[Symbol.asyncIterator]().next()).value).toHaveLength(1000)
})

test('ends when it is closed, after what was in it', async () => {
  const queue = createBoundedQueue(3, 100)
  queue.push(bytes(5))
  queue.close()
  expect(queue.push(bytes(5))).toBe(false)
  const read: number[] = []
  for await (const item of queue) read.push(item.length)
  expect(read).toEqual([5])
})
