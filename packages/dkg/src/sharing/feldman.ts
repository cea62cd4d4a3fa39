import { dkgError } from '../errors.ts'
import type { Curve } from '../primitives/curve.ts'
import { secretScalar } from '../primitives/scalar.ts'
import type { Secret } from '../primitives/secret.ts'
import { equalBytes } from '../primitives/codec.ts'
import type { ParticipantIndex, PointBytes } from '../primitives/types.ts'
import type { Polynomial } from './polynomial.ts'

/** Feldman commitments A[k] = a_k * G, k = 0..t-1: t points of 33 bytes (Feldman 1987). */
export type Commitment = readonly PointBytes[]

/** A[k] = a_k * G. Coefficients are secret: constant time. */
export function commit(curve: Curve, polynomial: Polynomial): Commitment {
  return polynomial.map((coefficient) => {
    const secret = secretScalar(coefficient)
    const point = curve.mulBaseSecret(secret)
    secret.destroy()
    return point
  })
}

/**
 * The verification share Y_j = f(j) * G, computed from the commitment alone (protocol 6, step 5).
 * @throws KmsError `identity-result` when f(j) = 0, which no honest ceremony produces
 */
export function verificationShare(curve: Curve, commitment: Commitment, index: ParticipantIndex): PointBytes {
  const point = curve.evaluate(commitment, index)
  if (point === undefined) throw dkgError('identity-result', `the share of index ${index} is zero`, { data: { index } })
  return point
}

/** Feldman check: share * G == Horner(A, j) (protocol D6). */
export function verifyShare(curve: Curve, commitment: Commitment, index: ParticipantIndex, share: Secret): boolean {
  const expected = curve.evaluate(commitment, index)
  return expected !== undefined && equalBytes(curve.mulBaseSecret(share), expected)
}
