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
  if (indices.length === 0) throw dkgError('bad-parameters', 'interpolation needs at least one index')
  if (new Set(indices).size !== indices.length)
    throw dkgError('duplicate-index', 'interpolation needs distinct indices', { data: { indices } })
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
