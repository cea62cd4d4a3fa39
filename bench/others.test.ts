import { describe, expect, it } from 'vitest'
import { readTicks, shareOfOthers } from './others.ts'

const self = (own: readonly number[]): string => `123 (a name) with (5) S 1 2 3 4 5 6 7 8 9 10 ${own.join(' ')} 20 0 7`

describe('shareOfOthers', () => {
  it('is what neither was idle nor went to this process and its children', () => {
    const before = readTicks('cpu  100 0 50 1000 10 0 5 0 77 0\ncpu0 1 2 3', self([10, 10, 5, 5]))
    const after = readTicks('cpu  150 0 70 1020 20 0 5 0 99 0\ncpu0 1 2 3', self([30, 15, 15, 5]))
    // 100 ticks went by: 30 idle or waiting, 35 of our own.
    expect(before).toEqual({ all: 1165, idle: 1010, own: 30 })
    expect(shareOfOthers(before, after)).toBeCloseTo(0.35)
  })
})
