import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { closedLoop, openLoop, rateOf } from './load.ts'

describe('closedLoop', () => {
  it('makes so many requests, never more than allowed at once, and tells the failed ones apart', async () => {
    let running = 0
    let most = 0
    let made = 0
    const ask = async (): Promise<void> => {
      most = Math.max(most, ++running)
      const number = ++made
      await wait(1)
      running--
      if (number % 5 === 0) throw new Error('every fifth')
    }
    const load = await closedLoop(ask, { concurrency: 4, requests: 20 })
    expect(most).toBe(4)
    expect(load.latenciesMs).toHaveLength(16)
    expect(load.failures).toEqual(Array.from({ length: 4 }, () => 'every fifth'))
    expect(rateOf(load)).toBeCloseTo(16_000 / load.tookMs)
  })
})

describe('openLoop', () => {
  it('counts from when a request was due, whether or not anybody was ready for it', async () => {
    let turn = Promise.resolve()
    // One at a time, 10 ms each, asked for ten times as fast: the last waits for nearly all others.
    const ask = (): Promise<void> => (turn = turn.then(() => wait(10)))
    const { latenciesMs } = await openLoop(ask, { perSecond: 1_000, requests: 20 })
    expect(latenciesMs).toHaveLength(20)
    expect(Math.max(...latenciesMs)).toBeGreaterThan(100)
  })
})
