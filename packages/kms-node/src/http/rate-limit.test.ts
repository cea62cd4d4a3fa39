import { describe, expect, it } from 'vitest'
import { callerOf, createRateLimit, tokensOf } from './rate-limit.ts'

describe('rate limit', () => {
  it('refills with time, per caller', () => {
    const limit = createRateLimit({ requestsPerSecond: 2, burst: 2, maxCallers: 2 })
    expect([0, 0, 0].map(() => limit.retryAfterSeconds('a', 0))).toEqual([0, 0, 1])
    expect(limit.retryAfterSeconds('b', 0)).toBe(0)
    expect(limit.retryAfterSeconds('a', 500)).toBe(0)
    expect(limit.retryAfterSeconds('a', 500)).toBe(1)
  })

  it('takes more for a longer request, at the most a whole burst', () => {
    const limit = createRateLimit({ requestsPerSecond: 2, burst: 10, maxCallers: 2 })
    expect([1, 8 * 1024, 8 * 1024 + 1, 1024 * 1024].map((size) => tokensOf(new Uint8Array(size)))).toEqual([
      1, 1, 2, 128,
    ])
    expect([8, 4, 2, 1].map((tokens) => limit.retryAfterSeconds('a', 0, tokens))).toEqual([0, 1, 0, 1])
    expect([128, 1].map((tokens) => limit.retryAfterSeconds('b', 0, tokens))).toEqual([0, 1])
    expect(limit.retryAfterSeconds('b', 1_000, 0)).toBe(0)
  })

  it.each([
    ['10.1.2.3', '10.1.2.3'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8::1', '2001:db8:0:0'],
    ['::1', '0:0:0:0'],
  ])('%s counts as %s', (address, caller) => {
    expect(callerOf(address)).toBe(caller)
  })
})
