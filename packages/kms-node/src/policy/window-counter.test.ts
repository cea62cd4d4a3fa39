import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createWindowCounter, type QuotaWindow, type WindowCounter } from './window-counter.ts'

const take = (counter: WindowCounter, caller: string, nowSeconds: number): string => {
  const room = counter.room(caller, nowSeconds)
  if (room === 'room') counter.count(caller, nowSeconds)
  return room
}
const times = (n: number, run: () => string): readonly string[] => Array.from({ length: n }, run)

describe('windows', () => {
  it('hold each caller to every window at once', () => {
    const counter = createWindowCounter(
      [
        { items: 2, seconds: 10 },
        { items: 3, seconds: 100 },
      ],
      10,
    )
    expect(times(3, () => take(counter, 'a', 1000))).toEqual(['room', 'room', 'used-up'])
    expect(take(counter, 'b', 1000)).toBe('room')
    expect(times(2, () => take(counter, 'a', 1020))).toEqual(['room', 'used-up'])
    expect(take(counter, 'a', 1050)).toBe('used-up')
    expect(take(counter, 'a', 1200)).toBe('room')
  })

  it('slide: what was used just before the span began counts on', () => {
    const counter = createWindowCounter([{ items: 10, seconds: 10 }], 10)
    expect(new Set(times(10, () => take(counter, 'a', 1009)))).toEqual(new Set(['room']))
    expect(take(counter, 'a', 1010)).toBe('used-up')
    expect(times(6, () => take(counter, 'a', 1015))).toEqual(['room', 'room', 'room', 'room', 'room', 'used-up'])
  })

  it('give no fresh quota when the clock is set back', () => {
    const counter = createWindowCounter([{ items: 1, seconds: 10 }], 10)
    expect([take(counter, 'a', 1000), take(counter, 'a', 900), take(counter, 'a', 0)]).toEqual([
      'room',
      'used-up',
      'used-up',
    ])
  })

  it('keep nobody out after the clock was a day ahead for a moment', () => {
    const counter = createWindowCounter([{ items: 2, seconds: 10 }], 2)
    const ahead = 1000 + 86_400
    expect([take(counter, 'a', 1000), take(counter, 'a', ahead), take(counter, 'b', ahead)]).toEqual([
      'room',
      'room',
      'room',
    ])
    expect([take(counter, 'a', 1001), take(counter, 'a', 1001), take(counter, 'c', 1001)]).toEqual([
      'room',
      'used-up',
      'full',
    ])
    expect(take(counter, 'c', 1025)).toBe('room')
    expect(take(counter, 'a', 1030)).toBe('room')
  })

  it('remember a bounded number of callers, and forget no busy one for a new one', () => {
    const counter = createWindowCounter([{ items: 1, seconds: 10 }], 2)
    expect([take(counter, 'a', 1000), take(counter, 'b', 1001), take(counter, 'c', 1002)]).toEqual([
      'room',
      'room',
      'full',
    ])
    expect(take(counter, 'a', 1003)).toBe('used-up')
    expect(take(counter, 'c', 1020)).toBe('room')
    expect(counter.size).toBe(1)
  })

  it('never let more through in one span, nor twice as much in any two, whatever the times', () => {
    const window: QuotaWindow = { items: 5, seconds: 10 }
    const steps = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 80 })
    fc.assert(
      fc.property(steps, (gaps) => {
        const counter = createWindowCounter([window], 4)
        const perSpan = new Map<number, number>()
        let now = 1000
        for (const gap of gaps) {
          now += gap
          const span = Math.floor(now / 10)
          if (take(counter, 'a', now) === 'room') perSpan.set(span, (perSpan.get(span) ?? 0) + 1)
        }
        for (const [span, count] of perSpan) {
          expect(count).toBeLessThanOrEqual(5)
          expect(count + (perSpan.get(span - 1) ?? 0)).toBeLessThan(10)
        }
      }),
    )
  })
})
