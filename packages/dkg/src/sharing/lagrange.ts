import { dkgError } from '../errors.ts'
import { invertScalar, modOrder } from '../primitives/scalar.ts'
import type { ParticipantIndex } from '../primitives/types.ts'

/**
 * Lagrange coefficients at `at` over exactly these indices: l_i = prod_{k != i} (at - k) / (i - k) mod N (Shamir 1979).
 * Indices are public: variable time is fine.
 * @param at 0 for the secret itself, or the index of a share to repair
 * @throws KmsError `bad-parameters` for an empty list, `duplicate-index` for a repeated one
 */
export function lagrangeCoefficients(indices: readonly ParticipantIndex[], at = 0): bigint[] {
  requireDistinct(indices)
  return indices.map((i) => {
    let numerator = 1n
    let denominator = 1n
    for (const k of indices) {
      if (k === i) continue
      numerator = modOrder(numerator * BigInt(at - k))
      denominator = modOrder(denominator * BigInt(i - k))
    }
    return modOrder(numerator * invertScalar(denominator))
  })
}

/** Coefficients at 0 with one denominator for all: l_i = weights[i] / divisor. */
export interface LagrangeWeights {
  /** Integers, of either sign. */
  readonly weights: readonly bigint[]
  /** At least 1. */
  readonly divisor: bigint
}

/**
 * The coefficients at 0 as fractions of integers, in lowest terms: for the few small indices of a committee they are short, and what
 * they multiply is multiplied by a few bits instead of 256. Indices are public: variable time is fine.
 * @throws KmsError as `lagrangeCoefficients`
 */
export function lagrangeWeights(indices: readonly ParticipantIndex[]): LagrangeWeights {
  requireDistinct(indices)
  const fractions = indices.map((i) => {
    let numerator = 1n
    let denominator = 1n
    for (const k of indices) {
      if (k === i) continue
      numerator *= BigInt(k)
      denominator *= BigInt(k - i)
    }
    const common = greatestCommonDivisor(numerator, denominator)
    return { numerator: numerator / common, denominator: denominator / common }
  })
  const divisor = fractions.reduce(
    (multiple, { denominator }) => (multiple / greatestCommonDivisor(multiple, denominator)) * absolute(denominator),
    1n,
  )
  return { weights: fractions.map(({ numerator, denominator }) => (numerator * divisor) / denominator), divisor }
}

const absolute = (value: bigint): bigint => (value < 0n ? -value : value)

/** Positive. */
function greatestCommonDivisor(left: bigint, right: bigint): bigint {
  let [larger, smaller] = [left, right]
  while (smaller !== 0n) [larger, smaller] = [smaller, larger % smaller]
  return absolute(larger)
}

function requireDistinct(indices: readonly ParticipantIndex[]): void {
  if (indices.length === 0) throw dkgError('bad-parameters', 'interpolation needs at least one index')
  if (new Set(indices).size !== indices.length)
    throw dkgError('duplicate-index', 'interpolation needs distinct indices', { data: { indices } })
}
