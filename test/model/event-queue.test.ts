import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { EventQueue } from './event-queue.ts'

it('gives items back by time, and those of one time in the order they were put', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20), { maxLength: 200 }), fc.nat(50), (times, between) => {
      const queue = new EventQueue<number>()
      const out: { atMs: number; item: number }[] = []
      const take = (): void => {
        const entry = queue.pop()
        if (entry !== undefined) out.push({ atMs: entry.atMs, item: entry.item })
      }
      const late = times.length - Math.min(between, times.length)
      times.forEach((atMs, item) => queue.push(atMs, item))
      for (let n = 0; n < late; n++) take()
      const first = out.length
      while (queue.size > 0) take()
      expect(out).toHaveLength(times.length)
      expect(first).toBe(late)
      const sorted = times.map((atMs, item) => ({ atMs, item })).toSorted((a, b) => a.atMs - b.atMs || a.item - b.item)
      expect(out).toEqual(sorted)
    }),
  )
})
