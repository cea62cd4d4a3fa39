/** Welch's t-test on two classes of timings, as dudect does it (Reparaz, Balasch and Verbauwhede, 2017/1123). */

/** One timing in ns, and whether its input was the fixed one. */
export interface Timings {
  readonly ns: Float64Array
  /** 1: fixed input, 0: random one. As long as `ns`. */
  readonly fixed: Uint8Array
}

export interface WelchResult {
  /** `differenceNs` in units of its standard error. */
  readonly t: number
  /** Mean of the fixed class less that of the random one. */
  readonly differenceNs: number
  readonly standardErrorNs: number
}

interface Moments {
  readonly count: number
  readonly mean: number
  readonly variance: number
}

function momentsOf({ ns, fixed }: Timings, wanted: number, belowNs: number): Moments {
  let count = 0
  let mean = 0
  let squares = 0
  for (const [at, value] of ns.entries()) {
    if (fixed[at] !== wanted || value > belowNs) continue
    count += 1
    const distance = value - mean
    mean += distance / count
    squares += distance * (value - mean)
  }
  return { count, mean, variance: count > 1 ? squares / (count - 1) : 0 }
}

/** @param belowNs longer timings are left out, of both classes alike @returns undefined where a class has too few timings to say anything */
export function welch(timings: Timings, belowNs = Infinity): WelchResult | undefined {
  const left = momentsOf(timings, 1, belowNs)
  const right = momentsOf(timings, 0, belowNs)
  if (Math.min(left.count, right.count) < MIN_PER_CLASS) return undefined
  const standardErrorNs = Math.sqrt(left.variance / left.count + right.variance / right.count)
  const differenceNs = left.mean - right.mean
  const t = differenceNs === 0 ? 0 : differenceNs / standardErrorNs
  return { t, differenceNs, standardErrorNs }
}

const MIN_PER_CLASS = 500

/**
 * Interrupts and collections make single timings long, whatever the input: the test is done again without the longest ones, for several
 * shares of what is kept. A leak shows in any of them.
 */
const KEPT = [1, 0.99, 0.95, 0.9, 0.8, 0.65, 0.5, 0.35] as const

/** What |t| exceeds by chance in fewer than one of 100,000 batches; dudect's threshold for "maybe" is 4.5. */
const THRESHOLD_T = 5
/** Smaller differences are not claimed, as a part of the time: the fixed and the random class of a faultless test differ by some ns. */
const LEAST_PART = 1 / 2000

/** One batch of timings, tested at every crop. */
export interface Batch {
  /** At the crop with the largest |t|. */
  readonly strongest: WelchResult
  readonly exceeds: boolean
}

/** @returns undefined where there are too few timings to say anything */
export function testBatch(timings: Timings): Batch | undefined {
  const sorted = timings.ns.toSorted()
  const leastNs = (sorted[Math.floor(sorted.length / 2)] ?? 0) * LEAST_PART
  const [first, ...others] = KEPT.flatMap((kept) => welch(timings, sorted[Math.ceil(kept * sorted.length) - 1]) ?? [])
  if (first === undefined) return undefined
  const results = [first, ...others]
  return {
    strongest: results.reduce((best, result) => (Math.abs(result.t) > Math.abs(best.t) ? result : best)),
    exceeds: results.some(({ t, differenceNs }) => Math.abs(t) > THRESHOLD_T && Math.abs(differenceNs) > leastNs),
  }
}

/** Of the independent batches: so many must exceed, in the same direction, before a leak is claimed. */
export const CONFIRMATIONS = 3

/** Whether the batches show a leak. One that exceeds alone proves nothing on a busy machine. */
export function leaks(batches: readonly Batch[]): boolean {
  const exceeding = batches.filter(({ exceeds }) => exceeds)
  const slower = exceeding.filter(({ strongest }) => strongest.t > 0).length
  return Math.max(slower, exceeding.length - slower) >= CONFIRMATIONS
}

/** Whether a test that must find a leak found it in every batch. */
export const alwaysLeaks = (batches: readonly Batch[]): boolean =>
  batches.length > 0 && batches.every(({ exceeds }) => exceeds)
