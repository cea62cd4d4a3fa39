import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { attempt } from '../primitives/codec.ts'
import { nobleCurve } from '../primitives/noble-curve.ts'
import { participantIndex } from '../primitives/point.ts'
import { invertScalar, modOrder, ORDER, secretScalar } from '../primitives/scalar.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { commit, verificationShare, verifyShare } from './feldman.ts'
import { lagrangeCoefficients, lagrangeWeights } from './lagrange.ts'
import { evaluatePolynomial } from './polynomial.ts'

const scalar = fc.bigInt({ min: 1n, max: ORDER - 1n })
const indices = (count: number) =>
  fc
    .uniqueArray(fc.integer({ min: 1, max: 65535 }), { minLength: count, maxLength: count })
    .map((list) => list.map(participantIndex))

describe('Shamir sharing', () => {
  it('any t shares give back the secret, t - 1 do not', () => {
    fc.assert(
      fc.property(
        fc
          .array(scalar, { minLength: 2, maxLength: 9 })
          .chain((polynomial) => fc.tuple(fc.constant(polynomial), indices(polynomial.length))),
        ([polynomial, chosen]) => {
          const interpolate = (over: typeof chosen): bigint =>
            lagrangeCoefficients(over).reduce((sum, l, at) => {
              const index = over[at]
              return index === undefined ? sum : modOrder(sum + l * evaluatePolynomial(polynomial, index))
            }, 0n)
          expect(interpolate(chosen)).toBe(polynomial[0])
          expect(interpolate(chosen.slice(1))).not.toBe(polynomial[0])
        },
      ),
    )
  })

  it('interpolates at another index too, for repair', () => {
    const polynomial = [7n, 11n, 13n]
    const over = [2, 5, 9].map(participantIndex)
    const at = participantIndex(4)
    const value = lagrangeCoefficients(over, at).reduce(
      (sum, l, k) => modOrder(sum + l * evaluatePolynomial(polynomial, over[k] ?? at)),
      0n,
    )
    expect(value).toBe(evaluatePolynomial(polynomial, at))
  })

  it('has weights over one divisor that are the coefficients, short ones for a small committee', () => {
    const quotient = (weight: bigint, divisor: bigint): bigint => modOrder(weight * invertScalar(divisor))
    const check = (over: readonly ParticipantIndex[]) => {
      const { weights, divisor } = lagrangeWeights(over)
      expect(divisor).toBeGreaterThan(0n)
      expect(weights.map((weight) => quotient(weight, divisor))).toEqual(lagrangeCoefficients(over))
      return { weights, divisor }
    }
    fc.assert(fc.property(fc.integer({ min: 1, max: 12 }).chain(indices), (over) => void check(over)))
    expect(check([1, 2, 3].map(participantIndex))).toEqual({ weights: [3n, -3n, 1n], divisor: 1n })
    expect(check([5, 1, 3].map(participantIndex))).toEqual({ weights: [3n, 15n, -10n], divisor: 8n })
  })

  it('refuses no index and a repeated one', () => {
    expect(attempt(() => lagrangeWeights([]))).toBeUndefined()
    expect(attempt(() => lagrangeWeights([participantIndex(3), participantIndex(3)]))).toBeUndefined()
    expect(attempt(() => lagrangeCoefficients([]))).toBeUndefined()
    expect(attempt(() => lagrangeCoefficients([participantIndex(3), participantIndex(3)]))).toBeUndefined()
  })
})

describe('Feldman commitments', () => {
  const polynomial = [123n, 456n, ORDER - 1n]
  const commitment = commit(nobleCurve, polynomial)

  it('verify every share of their polynomial and no other', () => {
    for (const index of [1, 2, 64, 65535].map(participantIndex)) {
      const share = secretScalar(evaluatePolynomial(polynomial, index))
      expect(verifyShare(nobleCurve, commitment, index, share)).toBe(true)
      expect(nobleCurve.mulBaseSecret(share)).toEqual(verificationShare(nobleCurve, commitment, index))
      const wrong = secretScalar(modOrder(evaluatePolynomial(polynomial, index) + 1n))
      expect(verifyShare(nobleCurve, commitment, index, wrong)).toBe(false)
    }
  })

  it('refuse the index at which the polynomial is zero', () => {
    const vanishing = commit(nobleCurve, [ORDER - 3n, 1n])
    expect(attempt(() => verificationShare(nobleCurve, vanishing, participantIndex(3)))).toBeUndefined()
    expect(verifyShare(nobleCurve, vanishing, participantIndex(3), secretScalar(1n))).toBe(false)
  })
})
