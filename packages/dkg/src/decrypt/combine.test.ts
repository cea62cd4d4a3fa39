import { sha256 } from '@noble/hashes/sha2.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { attempt } from '../primitives/codec.ts'
import { nobleCurve } from '../primitives/noble-curve.ts'
import { participantIndex } from '../primitives/point.ts'
import type { Term } from '../primitives/curve.ts'
import { invertScalar, ORDER, secretScalar } from '../primitives/scalar.ts'
import type { SharingId } from '../primitives/types.ts'
import { evaluatePolynomial } from '../sharing/polynomial.ts'
import { combinePartials, combineSharing, type IndexedPartial } from './combine.ts'

const curve = nobleCurve
const K = curve.mulBaseSecret(secretScalar(31337n))
const scalar = fc.bigInt({ min: 1n, max: ORDER - 1n })
const index = fc.integer({ min: 1, max: 0xffff })
/** Of a committee: their weights are short. */
const smallIndex = fc.integer({ min: 1, max: 64 })

const partialOf = (polynomial: readonly bigint[], at: number): IndexedPartial => ({
  index: participantIndex(at),
  D: curve.mulSecret(K, secretScalar(evaluatePolynomial(polynomial, participantIndex(at)))),
})
const allSharesNonzero = (polynomial: readonly bigint[], indices: readonly number[]): boolean =>
  indices.every((at) => evaluatePolynomial(polynomial, participantIndex(at)) !== 0n)
const codeOf = (code: string): unknown => expect.objectContaining({ code })

describe('combining', () => {
  it('gives s * K from any t of n, and from more, in any order', () => {
    const setting = fc
      .record({
        polynomial: fc.array(scalar, { minLength: 2, maxLength: 4 }),
        indices: fc.oneof(...[smallIndex, index].map((each) => fc.uniqueArray(each, { minLength: 4, maxLength: 6 }))),
      })
      .chain(({ polynomial, indices }) =>
        fc.shuffledSubarray(indices, { minLength: polynomial.length }).map((chosen) => ({ polynomial, chosen })),
      )
    fc.assert(
      fc.property(setting, ({ polynomial, chosen }) => {
        fc.pre(allSharesNonzero(polynomial, chosen))
        const expected = curve.mulSecret(K, secretScalar(polynomial[0] ?? 0n))
        expect(
          combinePartials(
            curve,
            chosen.map((at) => partialOf(polynomial, at)),
          ),
        ).toEqual(expected)
      }),
      { numRuns: 30 },
    )
  })

  it('multiplies the partials of a small committee by short factors, and one point by a long one where the factors have a divisor', () => {
    const factorsOf = (indices: readonly number[]): readonly (readonly bigint[])[] => {
      const factors: bigint[][] = []
      const counting = {
        ...curve,
        linearCombination: (terms: readonly Term[]) => {
          factors.push(terms.map(({ scalar: factor }) => factor))
          return curve.linearCombination(terms)
        },
      }
      combinePartials(
        counting,
        indices.map((at) => partialOf([5n, 6n, 7n], at)),
      )
      return factors
    }
    expect(factorsOf([1, 2, 3])).toEqual([[3n, ORDER - 3n, 1n]])
    expect(factorsOf([1, 3, 5])).toEqual([[15n, ORDER - 10n, 3n], [invertScalar(8n)]])
  })

  it('never gives it from t - 1', () => {
    fc.assert(
      fc.property(
        fc.array(scalar, { minLength: 2, maxLength: 4 }),
        fc.uniqueArray(index, { minLength: 3, maxLength: 3 }),
        (polynomial, indices) => {
          fc.pre(allSharesNonzero(polynomial, indices))
          const expected = curve.mulSecret(K, secretScalar(polynomial[0] ?? 0n))
          const partials = indices.slice(0, polynomial.length - 1).map((at) => partialOf(polynomial, at))
          expect(attempt(() => combinePartials(curve, partials))).not.toEqual(expected)
        },
      ),
      { numRuns: 15 },
    )
  })

  it('gives something else when one partial is not what it should be', () => {
    const polynomial = [5n, 6n, 7n]
    const good = [1, 2, 3].map((at) => partialOf(polynomial, at))
    const expected = curve.mulSecret(K, secretScalar(5n))
    expect(combinePartials(curve, good)).toEqual(expected)
    for (const [at, partial] of good.entries()) {
      const lie = { index: partial.index, D: curve.generator }
      expect(combinePartials(curve, good.with(at, lie))).not.toEqual(expected)
    }
  })

  it('refuses nothing, one index twice, and the identity', () => {
    const one = partialOf([5n, 6n], 1)
    expect(() => combinePartials(curve, [])).toThrow(codeOf('too-few-partials'))
    expect(() => combinePartials(curve, [one, one])).toThrow(codeOf('duplicate-index'))
    const cancelling = [
      { index: participantIndex(1), D: K },
      { index: participantIndex(2), D: curve.mulSecret(K, secretScalar(2n)) },
    ]
    expect(() => combinePartials(curve, cancelling)).toThrow(codeOf('identity-result'))
  })
})

describe('combining under a certificate', () => {
  const sharingId = sha256(utf8ToBytes('sharing')) as SharingId
  const members = [1, 2, 3, 4, 5].map((at) => ({ index: participantIndex(at) }))
  const sharing = { sharingId, t: 3, config: { members } }
  const polynomial = [5n, 6n, 7n]
  const partial = (at: number, id: SharingId = sharingId) => ({ ...partialOf(polynomial, at), sharingId: id })

  it('takes any t of the roster', () => {
    const expected = curve.mulSecret(K, secretScalar(5n))
    expect(combineSharing(curve, sharing, [partial(5), partial(2), partial(4)])).toEqual(expected)
    expect(combineSharing(curve, sharing, [partial(5), partial(2), partial(4), partial(1)])).toEqual(expected)
  })

  it('refuses t - 1, other sharings, strangers and repeated nodes', () => {
    const other = sha256(utf8ToBytes('other')) as SharingId
    expect(() => combineSharing(curve, sharing, [partial(1), partial(2)])).toThrow(codeOf('too-few-partials'))
    expect(() => combineSharing(curve, sharing, [partial(1), partial(2), partial(3, other)])).toThrow(
      codeOf('mixed-sharings'),
    )
    expect(() => combineSharing(curve, sharing, [partial(1), partial(2), partial(6)])).toThrow(codeOf('bad-index'))
    expect(() => combineSharing(curve, sharing, [partial(1), partial(2), partial(2)])).toThrow(
      codeOf('duplicate-index'),
    )
  })
})
