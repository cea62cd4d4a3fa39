/** How fast something grows: ordinary least squares, with the 95 % confidence interval of the slope. */

export interface Sample {
  readonly atMs: number
  readonly value: number
}

/** Of a series, per hour. */
export interface Slope {
  readonly perHour: number
  /** Ends of the 95 % confidence interval. */
  readonly lowPerHour: number
  readonly highPerHour: number
  /** From the first sample to the last. */
  readonly hours: number
}

/** Fewer say nothing about their own scatter. */
export const MIN_SAMPLES = 8

const HOUR_MS = 3_600_000
/** So many samples count as independent at least, and neighbours as alike by this at most. */
const MIN_INDEPENDENT = 4
const MAX_CORRELATION = 0.8

/**
 * Neighbouring residuals of a process's memory are alike: a heap that has grown stays so for a while. So n samples count as
 * n (1 - r) / (1 + r) independent ones, by the first autocorrelation r of their residuals where it is positive (Santer et al., 2000).
 *
 * @throws RangeError for fewer than `MIN_SAMPLES` samples, or when all are of one time
 */
export function slopeOf(samples: readonly Sample[]): Slope {
  const count = samples.length
  if (count < MIN_SAMPLES) throw new RangeError(`${count} samples, at least ${MIN_SAMPLES} are needed`)
  const hours = samples.map(({ atMs }) => atMs / HOUR_MS)
  const middle = sum(hours) / count
  const level = sum(samples.map(({ value }) => value)) / count
  const spread = sum(hours.map((at) => (at - middle) ** 2))
  if (spread === 0) throw new RangeError('all samples are of one time')
  const points = samples.map(({ value }, n) => ({ at: (hours[n] ?? 0) - middle, above: value - level }))
  const perHour = sum(points.map(({ at, above }) => at * above)) / spread
  const residuals = points.map(({ at, above }) => above - perHour * at)
  const freedom = independent(residuals) - 2
  const standardError = Math.sqrt(sum(residuals.map((residual) => residual ** 2)) / freedom / spread)
  const half = studentQuantile(freedom) * standardError
  return {
    perHour,
    lowPerHour: perHour - half,
    highPerHour: perHour + half,
    hours: Math.max(...hours) - Math.min(...hours),
  }
}

/** How many independent values say as much as these residuals of a line. */
function independent(residuals: readonly number[]): number {
  const count = residuals.length
  const squares = sum(residuals.map((residual) => residual ** 2))
  if (squares === 0) return count
  const found = sum(residuals.slice(1).map((residual, n) => residual * (residuals[n] ?? 0))) / squares
  // Residuals of few points are less alike than what they come from.
  const correlation = Math.min(MAX_CORRELATION, Math.max(0, found + (1 + 4 * found) / count))
  return Math.max(MIN_INDEPENDENT, (count * (1 - correlation)) / (1 + correlation))
}

/** The 97.5 % quantile of the normal distribution. */
const Z = 1.959963984540054

/** That of Student's distribution, by its Cornish-Fisher expansion. @param freedom at least 2; there it is 0.8 % too small, from 4 on 0.03 % */
export function studentQuantile(freedom: number): number {
  const terms = [
    Z,
    (Z ** 3 + Z) / 4,
    (5 * Z ** 5 + 16 * Z ** 3 + 3 * Z) / 96,
    (3 * Z ** 7 + 19 * Z ** 5 + 17 * Z ** 3 - 15 * Z) / 384,
    (79 * Z ** 9 + 776 * Z ** 7 + 1482 * Z ** 5 - 1920 * Z ** 3 - 945 * Z) / 92_160,
  ]
  return sum(terms.map((term, power) => term / freedom ** power))
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
