import { type Curve, equalBytes, POINT_BYTES, type PointBytes } from '@tkms/dkg'
import { FULL_BYTES, type FullPoints } from './full-points.ts'
import type { Libsecp256k1 } from './native-curve.ts'

/**
 * response * base - challenge * point, as cheaply as the library can. Public inputs only: variable time is fine.
 *
 * On G it is one operation: ECDSA's recovery computes (s * R - z * G) / r for a point R of x coordinate r, here R = -point,
 * s = challenge * r and z = -response * r.
 * @param slowly the same for every input, and the errors of bad ones: asked where the library refuses
 */
export function createProofCommitment(
  library: Libsecp256k1,
  {
    generator,
    points,
    slowly,
  }: { readonly generator: PointBytes; readonly points: FullPoints; readonly slowly: Curve['proofCommitment'] },
): Curve['proofCommitment'] {
  /** u8 prefix || r || s. */
  const recovery = new Uint8Array(1 + 64)
  const signature = recovery.subarray(1)
  const r = recovery.subarray(1, 33)
  const s = recovery.subarray(33)
  const z = new Uint8Array(32)
  const response = new Uint8Array(32)
  const challenge = new Uint8Array(32)
  const products = [new Uint8Array(FULL_BYTES), new Uint8Array(FULL_BYTES)] as const
  const out = new Uint8Array(POINT_BYTES)

  // As a tweak a number of N or more is refused, as a private key it is reduced: response and challenge are tweaks.
  const onGenerator = (point: PointBytes): void => {
    recovery.set(point)
    s.set(r)
    library.privateKeyTweakMul(s, challenge)
    z.set(r)
    library.privateKeyTweakMul(z, response)
    library.privateKeyNegate(z)
    library.ecdsaRecover(signature, point[0] === 2 ? 1 : 0, z, true, out)
  }

  const onBase = (base: PointBytes, point: PointBytes): void => {
    library.publicKeyTweakMul(points.lend(base), response, false, products[0])
    library.privateKeyNegate(challenge)
    library.publicKeyTweakMul(points.lend(point), challenge, false, products[1])
    library.publicKeyCombine(products, true, out)
  }

  return (proof) => {
    const { base, point } = proof
    if (proof.response.length !== response.length || proof.challenge.length !== challenge.length) return slowly(proof)
    response.set(proof.response)
    challenge.set(proof.challenge)
    try {
      if (base === generator || equalBytes(base, generator)) onGenerator(point)
      else onBase(base, point)
      return out.slice() as PointBytes
    } catch {
      // A zero, a number of N or more, the identity, or no point: the slower way finds out which.
      return slowly(proof)
    }
  }
}
