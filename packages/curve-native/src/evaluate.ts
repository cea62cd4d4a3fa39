import { type Curve, encodeScalar, KmsError, type PointBytes } from '@tkms/dkg'
import type { Libsecp256k1 } from './native-curve.ts'

/** Coefficients that one addition takes in: each call of the library ends in an inversion, which costs as much as a dozen additions. */
const BLOCK = 4
/** x^4 <= 2^64: multiplying by so short a number is cheaper than the addition it saves. */
const POWERS = BLOCK + 1

/**
 * sum_k x^k * A[k] by Horner's rule in steps of four coefficients: r' = x^4 * r + x^3 * A[k+3] + x^2 * A[k+2] + x * A[k+1] + A[k].
 * Points between the steps keep both coordinates, so none takes a square root again. Public inputs only: variable time is fine.
 * @param readable the form of a point that costs least to read, 33 or 65 bytes
 */
export function createEvaluator(
  library: Pick<Libsecp256k1, 'publicKeyCombine' | 'publicKeyTweakMul' | 'publicKeyVerify'>,
  readable: (point: PointBytes) => Uint8Array,
): Curve['evaluate'] {
  return (coefficients, x) => {
    const powers = Array.from({ length: POWERS }, (_, exponent) => encodeScalar(BigInt(x) ** BigInt(exponent)))
    const scale = (point: Uint8Array, exponent: number): Uint8Array => {
      const power = powers[exponent]
      if (power === undefined) throw new RangeError('a block has four coefficients')
      return exponent === 0 ? point : library.publicKeyTweakMul(point, power, false)
    }
    let result: Uint8Array | undefined
    for (let from = Math.floor((coefficients.length - 1) / BLOCK) * BLOCK; from >= 0; from -= BLOCK) {
      const block = coefficients.slice(from, from + BLOCK)
      try {
        const scaled = block.map((point, exponent) => scale(readable(point), exponent))
        if (result !== undefined) scaled.push(scale(result, BLOCK))
        result = library.publicKeyCombine(scaled, from === 0)
      } catch (cause) {
        if (!block.every((point) => library.publicKeyVerify(point)))
          throw new KmsError('bad-point', 'a coefficient is not a curve point', { cause })
        // All of them are points: the library refuses only the sum that has no encoding.
        result = undefined
      }
    }
    return result as PointBytes | undefined
  }
}
