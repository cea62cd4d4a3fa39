import { describe, expect, it } from 'vitest'
import { seededRandom } from '../support/simulated-committee.ts'
import { type Sample, slopeOf, studentQuantile } from './slope.ts'

const HOUR_MS = 3_600_000

/** A sample every 5 s. @param alike how much of a value's noise is that of the one before, 0 to 1 */
function series(
  random: () => number,
  options: { count: number; perHour: number; noise: number; alike?: number },
): Sample[] {
  const { count, perHour, noise, alike = 0 } = options
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  let last = normal()
  return Array.from({ length: count }, (_, n) => {
    last = alike * last + Math.sqrt(1 - alike ** 2) * normal()
    return { atMs: 5000 * n, value: 70 + (perHour * 5000 * n) / HOUR_MS + noise * last }
  })
}

/** How many of 500 intervals hold the true slope. */
function covered(alike: number): number {
  const random = seededRandom(7)
  const intervals = Array.from({ length: 500 }, () =>
    slopeOf(series(random, { count: 28, perHour: 3, noise: 2, alike })),
  )
  return intervals.filter(({ lowPerHour, highPerHour }) => lowPerHour <= 3 && 3 <= highPerHour).length
}

describe('the slope of a series', () => {
  it('is that of a line, exactly', () => {
    const line = Array.from({ length: 10 }, (_, n) => ({ atMs: n * HOUR_MS, value: 5 - 2 * n }))
    expect(slopeOf(line)).toEqual({ perHour: -2, lowPerHour: -2, highPerHour: -2, hours: 9 })
  })

  it('has the interval of the textbook where the residuals are not alike', () => {
    // Residuals about y = 2x + 1 that sum to 0, also times x, and change their sign from one to the next.
    const residuals = [1, -1, 0, 0, 0, 0, 0, 0, -1, 1]
    const samples = residuals.map((residual, n) => ({ atMs: n * HOUR_MS, value: 2 * n + 1 + residual }))
    const { perHour, lowPerHour, highPerHour } = slopeOf(samples)
    // s^2 = 4 / 8, the sum of squares of x is 82.5, t(8) = 2.306.
    const half = 2.306 * Math.sqrt(4 / 8 / 82.5)
    expect(perHour).toBeCloseTo(2, 12)
    expect(lowPerHour).toBeCloseTo(2 - half, 4)
    expect(highPerHour).toBeCloseTo(2 + half, 4)
  })

  it('lies in its interval in 95 % of all cases, and nearly so where neighbours are alike', () => {
    expect(covered(0) / 500).toBeGreaterThan(0.94)
    expect(covered(0) / 500).toBeLessThan(0.985)
    expect(covered(0.5) / 500).toBeGreaterThan(0.92)
  })

  it('is not claimed of too few samples, nor of one time', () => {
    expect(() => slopeOf(series(seededRandom(1), { count: 7, perHour: 0, noise: 1 }))).toThrow(RangeError)
    expect(() => slopeOf(Array.from({ length: 9 }, (_, value) => ({ atMs: 5, value })))).toThrow(RangeError)
  })
})

describe("Student's quantile", () => {
  it.each([
    [2, 4.303],
    [3, 3.182],
    [5, 2.571],
    [10, 2.228],
    [30, 2.042],
    [1e9, 1.96],
  ])('is known for %s degrees of freedom', (freedom, expected) => {
    expect(Math.abs(studentQuantile(freedom) / expected - 1)).toBeLessThan(0.01)
  })
})
