import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Cancelled, eachItem } from './each-item.ts'
import { alice, itemFor } from './pipeline.fixture.ts'

const item = itemFor(alice)
const items = Array.from({ length: 20 }, () => item)
const { signal } = new AbortController()

describe('the items of a batch', () => {
  it('are begun in order, and their results stay in order', async () => {
    const begun: number[] = []
    const run = async (_item: unknown, at: number): Promise<number> => {
      begun.push(at)
      return at
    }
    const order = [...items.keys()]
    for (const lanes of [1, 7, 100]) expect(await eachItem(items, signal, run, lanes)).toEqual(order)
    expect(begun.slice(0, 20)).toEqual(order)
  })

  it('wait for something together, up to the lanes there are', async () => {
    let waiting = 0
    let most = 0
    const open = Promise.withResolvers<void>()
    const run = async (): Promise<void> => {
      most = Math.max(most, ++waiting)
      if (waiting === 5) open.resolve()
      await open.promise
      waiting--
    }
    await eachItem(items, signal, run, 5)
    expect(most).toBe(5)
  })

  it('are left as soon as one fails or the caller goes', async () => {
    let begun = 0
    const failing = (_item: unknown, at: number): void => {
      begun++
      if (at === 3) throw new Error('the fourth')
    }
    await expect(eachItem(items, signal, failing, 2)).rejects.toThrow('the fourth')
    for (let turn = 0; turn < 10; turn++) await setImmediate()
    expect(begun).toBeLessThan(8)
    const leaving = new AbortController()
    const run = (_item: unknown, at: number): void => {
      if (at === 3) leaving.abort()
    }
    await expect(eachItem(items, leaving.signal, run)).rejects.toThrow(Cancelled)
  })
})
