import { expect, test } from 'vitest'
import { benchMemory } from '../../bench/memory.ts'
import { benchServed } from '../../bench/served.ts'

/** The measurements of a served node, as small as they can be: that they measure what they say, not how fast it is. */

const log = (): void => undefined

test('a node is asked over both transports, alone and 64 at once, beside the same answers in process', async () => {
  const requests = { 1: { alone: 3, concurrent: 64 }, 2: { alone: 2, concurrent: 64 } }
  const { in_process: inProcess, transports, pinned } = await benchServed({ rounds: 1, requests, log })
  expect(pinned).toBeTypeOf('boolean')
  expect(inProcess.map((cost) => [cost.items, cost.in_flight])).toEqual([
    [1, 1],
    [1, 64],
    [2, 1],
    [2, 64],
  ])
  expect(transports.map((cost) => `${cost.transport} ${cost.items} ${cost.in_flight}`)).toEqual(
    inProcess.flatMap((cost) => ['libp2p', 'http'].map((name) => `${name} ${cost.items} ${cost.in_flight}`)),
  )
  for (const cost of [...inProcess, ...transports]) {
    expect(cost.items_per_s).toBeGreaterThan(0)
    expect(cost.p50_ms).toBeGreaterThan(0)
    expect(cost.p99_ms).toBeGreaterThanOrEqual(cost.p50_ms)
    // What is in flight cannot take longer than all of it takes together.
    expect(cost.p50_ms).toBeLessThanOrEqual((1000 * 64 * cost.items) / cost.items_per_s)
  }
  for (const cost of transports) expect(cost.in_process_ratio).toBeGreaterThan(0)
})

test('the memory of a node is measured per connection, per waiting request, and per million of answered ones', async () => {
  const result = await benchMemory({
    connections: 16,
    pending: { connections: 2, each: 32 },
    warmUpRequests: 200,
    requests: 200,
    log,
  })
  expect(result.idle.held_bytes).toBeGreaterThan(10_000_000)
  expect(result.idle.resident_bytes).toBeGreaterThan(result.idle.held_bytes)
  // A connection has at least its keys and its windows, and a request its own bytes.
  expect(result.per_connection.libp2p.held_bytes).toBeGreaterThan(4_000)
  expect(result.per_connection.http.held_bytes).toBeGreaterThan(1_000)
  expect(result.per_pending_request.map(({ items }) => items)).toEqual([1, 256])
  for (const cost of result.per_pending_request) expect(cost.request_ratio).toBeGreaterThan(1)
  expect(Object.values(result.per_million_requests).every(Number.isFinite)).toBe(true)
})
