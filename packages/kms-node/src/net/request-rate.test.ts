import { expect, test } from 'vitest'
import { createRequestRate } from './request-rate.ts'

test('a peer that asks all the time is not answered all the time, and takes nothing from others', () => {
  const mayAsk = createRequestRate({ max: 3, windowMs: 3_600_000 })
  expect([1, 2, 3, 4, 5].map(() => mayAsk('one'))).toEqual([true, true, true, false, false])
  expect(mayAsk('other')).toBe(true)
})

test('another window is another count', () => {
  const mayAsk = createRequestRate({ max: 1, windowMs: 0 })
  expect([mayAsk('one'), mayAsk('one')]).toEqual([true, true])
})

test('callers beyond the room wait for the next window, those who are counted go on', () => {
  const mayAsk = createRequestRate({ max: 2, windowMs: 3_600_000, maxCallers: 1 })
  expect([mayAsk('one'), mayAsk('other'), mayAsk('one'), mayAsk('other')]).toEqual([true, false, true, false])
})
