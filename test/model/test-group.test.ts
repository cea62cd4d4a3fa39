import { bytesToNumberBE } from '@noble/curves/utils.js'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../../packages/dkg/src/errors.ts'
import { nobleCurve } from '../../packages/dkg/src/primitives/noble-curve.ts'
import { decodePoint, participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import { encodeScalar, modOrder, ORDER } from '../../packages/dkg/src/primitives/scalar.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { PointBytes } from '../../packages/dkg/src/primitives/types.ts'
import { proveDleq, verifyDleq } from '../../packages/dkg/src/proofs/dleq.ts'
import { commit, verifyShare } from '../../packages/dkg/src/sharing/feldman.ts'
import { lagrangeCoefficients } from '../../packages/dkg/src/sharing/lagrange.ts'
import { evaluatePolynomial } from '../../packages/dkg/src/sharing/polynomial.ts'
import { testGroup } from './test-group.ts'

/** The contract of a `Curve`, checked on the test group and on noble side by side: the same call, the same logarithm. */

const edges = [1n, 2n, 3n, ORDER - 1n, ORDER - 2n, (ORDER - 1n) / 2n, (ORDER + 1n) / 2n]
const scalars = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom(...edges) },
  { weight: 3, arbitrary: fc.bigInt({ min: 1n, max: ORDER - 1n }) },
)
const factors = fc.oneof(fc.constantFrom(0n, 1n, ORDER - 1n), fc.bigInt({ min: 0n, max: ORDER - 1n }))
const runs = { numRuns: 40 }
const curves = [testGroup, nobleCurve]

const secret = (scalar: bigint): Secret => new Secret(encodeScalar(scalar))

function negated(point: PointBytes): PointBytes {
  const out = Uint8Array.from(point) as PointBytes
  out[0] = 5 - (out[0] ?? 0)
  return out
}

/** The same computation in both groups: both give k * G of the same k, or both the identity. */
function expectSame(compute: (curve: typeof testGroup) => PointBytes | undefined, k: bigint): void {
  for (const curve of curves) {
    const expected = modOrder(k) === 0n ? undefined : curve.mulBaseSecret(secret(modOrder(k)))
    expect(compute(curve)).toEqual(expected)
  }
}

const codeOf = (action: () => unknown): string => {
  try {
    action()
  } catch (error) {
    if (error instanceof KmsError) return error.code
    throw error
  }
  return 'no error'
}

describe('the test group', () => {
  it('multiplies points and the generator by secrets', () => {
    fc.assert(
      fc.property(scalars, scalars, (a, b) =>
        expectSame((curve) => curve.mulSecret(curve.mulBaseSecret(secret(a)), secret(b)), a * b),
      ),
      runs,
    )
  })

  it('has one point for each scalar, and its negative beside it', () => {
    fc.assert(
      fc.property(scalars, (a) => {
        const point = testGroup.mulBaseSecret(secret(a))
        expect(decodePoint(testGroup, point)).toEqual(point)
        expect(testGroup.mulBaseSecret(secret(ORDER - a))).toEqual(negated(point))
      }),
    )
  })

  it('sums, combines and evaluates, also to the identity', () => {
    fc.assert(
      fc.property(fc.array(scalars, { maxLength: 5 }), fc.array(factors, { minLength: 5 }), (list, by) => {
        const point = (curve: typeof testGroup, k: bigint): PointBytes => curve.mulBaseSecret(secret(k))
        const total = list.reduce((sum, k) => sum + k, 0n)
        expectSame((curve) => curve.sum(list.map((k) => point(curve, k))), total)
        expectSame((curve) => curve.sum(list.flatMap((k) => [point(curve, k), negated(point(curve, k))])), 0n)
        expectSame(
          (curve) => curve.linearCombination(list.map((k, at) => ({ scalar: by[at] ?? 0n, point: point(curve, k) }))),
          list.reduce((sum, k, at) => sum + k * (by[at] ?? 0n), 0n),
        )
        for (const x of [1, 2, 65535])
          expectSame(
            (curve) =>
              curve.evaluate(
                list.map((k) => point(curve, k)),
                x,
              ),
            list.reduce((sum, k, at) => sum + k * BigInt(x) ** BigInt(at), 0n),
          )
      }),
      runs,
    )
  })

  it('finds the point of a nonce again', () => {
    fc.assert(
      fc.property(scalars, scalars, factors, factors, (a, b, response, challenge) => {
        expectSame(
          (curve) =>
            curve.proofCommitment({
              base: curve.mulBaseSecret(secret(a)),
              point: curve.mulBaseSecret(secret(b)),
              response: encodeScalar(response),
              challenge: encodeScalar(challenge),
            }),
          response * a - challenge * b,
        )
      }),
      runs,
    )
  })

  it('computes proof responses', () => {
    fc.assert(
      fc.property(factors, scalars, scalars, (factor, a, b) => {
        const response = testGroup.mulAddSecret(factor, secret(a), secret(b))
        expect(bytesToNumberBE(response)).toBe(modOrder(factor * a + b))
      }),
      runs,
    )
  })

  it('refuses what is not a point, as the strict decoder wants it', () => {
    const half = (ORDER - 1n) / 2n
    const encoded = (prefix: number, k: bigint): Uint8Array => Uint8Array.of(prefix, ...encodeScalar(k))
    for (const good of [encoded(2, 1n), encoded(3, 1n), encoded(2, half), encoded(3, half)])
      expect(decodePoint(testGroup, good)).toEqual(good)
    const bad = [
      encoded(2, 0n),
      encoded(3, 0n),
      encoded(2, half + 1n),
      encoded(2, ORDER - 1n),
      encoded(4, 1n),
      encoded(0, 1n),
      new Uint8Array(33).fill(255),
      new Uint8Array(32),
      new Uint8Array(0),
    ]
    for (const bytes of bad) {
      expect(testGroup.isPoint(bytes)).toBe(false)
      expect(codeOf(() => decodePoint(testGroup, bytes))).toBe('bad-point')
    }
    expect(codeOf(() => testGroup.sum([encoded(2, 0n) as PointBytes]))).toBe('bad-point')
  })

  it('refuses scalars outside 1..N-1 and destroyed secrets, as noble does', () => {
    const gone = secret(5n)
    gone.destroy()
    for (const curve of curves) {
      expect(codeOf(() => curve.mulBaseSecret(gone))).toBe('secret-destroyed')
      for (const bytes of [new Uint8Array(32), new Uint8Array(32).fill(255), new Uint8Array(31).fill(1)]) {
        expect(codeOf(() => curve.mulBaseSecret(Secret.copyOf(bytes)))).toBe('bad-scalar')
        expect(codeOf(() => curve.mulSecret(curve.generator, Secret.copyOf(bytes)))).toBe('bad-scalar')
        expect(codeOf(() => curve.mulAddSecret(1n, Secret.copyOf(bytes), secret(1n)))).toBe('bad-scalar')
      }
      for (const scalar of [-1n, ORDER])
        expect(codeOf(() => curve.linearCombination([{ scalar, point: curve.generator }]))).toBe('bad-scalar')
    }
  })

  it('verifies possession of the key and of its negative, and nothing else', () => {
    const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
    fc.assert(
      fc.property(scalars, scalars, bytes32, fc.nat(63), (k, other, message, at) => {
        const point = testGroup.mulBaseSecret(secret(k))
        const signature = testGroup.signPossession(secret(k), message, new Uint8Array(32))
        expect(testGroup.verifyPossession(point, message, signature)).toBe(true)
        expect(testGroup.verifyPossession(negated(point), message, signature)).toBe(true)
        const mauled = Uint8Array.from(signature)
        mauled[at] = (mauled[at] ?? 0) ^ 1
        expect(testGroup.verifyPossession(point, message, mauled)).toBe(false)
        expect(testGroup.verifyPossession(point, message, signature.subarray(1))).toBe(false)
        const stranger = testGroup.mulBaseSecret(secret(other))
        const same = other === k || other === ORDER - k
        expect(testGroup.verifyPossession(stranger, message, signature)).toBe(same)
      }),
      runs,
    )
  })

  it('proves equal logarithms, and refuses unequal ones', () => {
    fc.assert(
      fc.property(scalars, scalars, fc.uint8Array({ minLength: 32, maxLength: 32 }), (a, b, aux) => {
        const base = testGroup.generator
        const B = testGroup.mulBaseSecret(secret(b))
        const { A, C, proof } = proveDleq(testGroup, { secret: secret(a), B, base, aux, message: aux })
        expect(verifyDleq(testGroup, { A, B, C, base, message: aux }, proof)).toBe(true)
        expect(verifyDleq(testGroup, { A: B, B, C, base, message: aux }, proof)).toBe(a === b)
        expect(verifyDleq(testGroup, { A, B, C: negated(C), base, message: aux }, proof)).toBe(false)
      }),
      runs,
    )
  })

  it('shares, checks and recombines', () => {
    const indices = [1, 2, 5, 9].map(participantIndex)
    fc.assert(
      fc.property(fc.array(scalars, { minLength: 3, maxLength: 3 }), (polynomial) => {
        const shares = indices.map((index) => evaluatePolynomial(polynomial, index))
        if (shares.includes(0n)) return
        const commitment = commit(testGroup, polynomial)
        indices.forEach((index, at) =>
          expect(verifyShare(testGroup, commitment, index, secret(shares[at] ?? 0n))).toBe(true),
        )
        const first = participantIndex(1)
        const wrong = modOrder((shares[0] ?? 0n) + 1n)
        if (wrong !== 0n) expect(verifyShare(testGroup, commitment, first, secret(wrong))).toBe(false)
        const chosen = indices.slice(1)
        const sum = lagrangeCoefficients(chosen).reduce((total, l, at) => total + l * (shares[at + 1] ?? 0n), 0n)
        expect(modOrder(sum)).toBe(polynomial[0])
      }),
      runs,
    )
  })

  it('has two generators', () => {
    const { generator, secondGenerator } = testGroup
    for (const point of [generator, secondGenerator]) expect(testGroup.isPoint(point)).toBe(true)
    expect(secondGenerator).not.toEqual(generator)
  })
})
