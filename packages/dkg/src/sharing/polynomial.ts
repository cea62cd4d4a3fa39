import { dkgError } from '../errors.ts'
import { modOrder } from '../primitives/scalar.ts'
import type { ParticipantIndex } from '../primitives/types.ts'

/** A secret polynomial, coefficients a_0..a_{t-1} in 1..N-1, lowest first. Lives only inside a ceremony's own process. */
export type Polynomial = readonly bigint[]

/**
 * f(x) by Horner's rule, mod N.
 * @param x a participant index: never 0, the place of the secret
 */
export function evaluatePolynomial(polynomial: Polynomial, x: ParticipantIndex): bigint {
  if (polynomial.length === 0) throw dkgError('bad-parameters', 'a polynomial has at least one coefficient')
  const at = BigInt(x)
  let result = 0n
  for (const coefficient of polynomial.toReversed()) result = modOrder(result * at + coefficient)
  return result
}
