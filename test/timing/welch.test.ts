import { describe, expect, it } from 'vitest'
import { seededRandom } from '../support/simulated-committee.ts'
import { alwaysLeaks, type Batch, leaks, testBatch, type Timings, welch } from './welch.ts'

/** Timings of about 50 us with noise of 2 us, now and then an interrupt, and `leakNs` more for the fixed input. */
function timings(seed: number, leakNs: number, count = 20_000): Timings {
  const random = seededRandom(seed)
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  const fixed = Uint8Array.from({ length: count }, () => (random() < 0.5 ? 1 : 0))
  const ns = Float64Array.from(fixed, (isFixed) => {
    const interrupted = random() < 0.02 ? 1_000_000 * random() : 0
    return 50_000 + 2000 * normal() + isFixed * leakNs + interrupted
  })
  return { ns, fixed }
}

function batch(seed: number, leakNs: number, count?: number): Batch {
  const result = testBatch(timings(seed, leakNs, count))
  if (result === undefined) throw new Error('there are timings')
  return result
}

const seeds = [1, 2, 3, 4, 5]
const outcome = (t: number, exceeds = true): Batch => ({
  strongest: { t, differenceNs: t, standardErrorNs: 1 },
  exceeds,
})

describe('the test for timing leaks', () => {
  it("computes Welch's t", () => {
    const ns = Float64Array.from({ length: 2000 }, (_, at) => (at % 2 === 0 ? 10 + (at % 4) : 20))
    const fixed = Uint8Array.from({ length: 2000 }, (_, at) => 1 - (at % 2))
    const result = welch({ ns, fixed })
    // Fixed: 10 and 12 in turn, of variance 1000/999; random: always 20.
    expect(result?.differenceNs).toBeCloseTo(-9, 9)
    expect(result?.standardErrorNs).toBeCloseTo(Math.sqrt(1 / 999), 12)
    expect(result?.t).toBeCloseTo(-9 / Math.sqrt(1 / 999), 9)
  })

  it('says nothing about too few timings', () => {
    expect(testBatch(timings(1, 0, 600))).toBeUndefined()
  })

  it('finds a leak of a two-hundredth of the time under noise and interrupts, and none where there is none', () => {
    expect(alwaysLeaks(seeds.map((seed) => batch(seed, 250)))).toBe(true)
    expect(alwaysLeaks(seeds.map((seed) => batch(seed, -250)))).toBe(true)
    expect(leaks(seeds.map((seed) => batch(seed, 0)))).toBe(false)
  })

  it('needs the crop: interrupts hide that leak from the plain test', () => {
    expect(Math.abs(welch(timings(1, 250))?.t ?? 0)).toBeLessThan(4)
    expect(batch(1, 250).exceeds).toBe(true)
  })

  it('does not claim a certain difference that is below a two-thousandth of the time', () => {
    const { ns, fixed } = timings(1, 0)
    const precise = testBatch({ ns: ns.map((_, at) => 50_000 + (at % 7) + 20 * (fixed[at] ?? 0)), fixed })
    expect(precise?.strongest.t).toBeGreaterThan(100)
    expect(precise?.exceeds).toBe(false)
  })

  it('claims a leak from three batches that agree, and a control from all', () => {
    expect(leaks([9, 9, 1, 1, 1].map((t) => outcome(t, t > 5)))).toBe(false)
    expect(leaks([9, 9, 9, 1, 1].map((t) => outcome(t, t > 5)))).toBe(true)
    expect(leaks([9, 9, -9, -9].map((t) => outcome(t)))).toBe(false)
    expect(leaks([-9, -9, -9].map((t) => outcome(t)))).toBe(true)
    expect(alwaysLeaks([outcome(9), outcome(9), outcome(1, false)])).toBe(false)
    expect(alwaysLeaks([])).toBe(false)
  })
})
