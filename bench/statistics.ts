/** The value below which the fraction `p` of the sorted values lies (nearest rank). @param p 0..1 */
export function percentile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((left, right) => left - right)
  const value = sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)]
  if (value === undefined) throw new RangeError('no values')
  return value
}

export const median = (values: readonly number[]): number => percentile(values, 0.5)

/** Wall time of one run, on average over `count`. */
export function timeUs(count: number, run: () => void): number {
  const startMs = performance.now()
  for (let n = 0; n < count; n++) run()
  return ((performance.now() - startMs) * 1000) / count
}

/** Times something again and again, always for about `sliceMs`, so that what is timed in turn suffers the same drift. */
export interface Sampler {
  sample(): void
  median(): number
}

export function createSampler(sliceMs: number, run: () => void): Sampler {
  timeUs(3, run)
  const count = Math.max(1, Math.round((sliceMs * 1000) / timeUs(3, run)))
  const samplesUs: number[] = []
  return {
    sample: () => void samplesUs.push(timeUs(count, run)),
    median: () => median(samplesUs),
  }
}
