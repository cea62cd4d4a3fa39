/** The value below which the fraction `p` of the sorted values lies (nearest rank). @param p 0..1 */
export function percentile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((left, right) => left - right)
  const value = sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)]
  if (value === undefined) throw new RangeError('no values')
  return value
}

export const median = (values: readonly number[]): number => percentile(values, 0.5)
