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
  const e = new Uint8Array(32)
  const products = [new Uint8Array(FULL_BYTES), new Uint8Array(FULL_BYTES)] as const
  const out = new Uint8Array(POINT_BYTES)

  /** z = response, e = challenge. */
  const onGenerator = (point: PointBytes): void => {
    recovery.set(point)
    s.set(e)
    library.privateKeyTweakMul(s, r)
    library.privateKeyTweakMul(z, r)
    library.privateKeyNegate(z)
    library.ecdsaRecover(signature, point[0] === 2 ? 1 : 0, z, true, out)
  }

  const onBase = (base: PointBytes, point: PointBytes): void => {
    library.publicKeyTweakMul(points.lend(base), z, false, products[0])
    library.privateKeyNegate(e)
    library.publicKeyTweakMul(points.lend(point), e, false, products[1])
    library.publicKeyCombine(products, true, out)
  }

  return (proof) => {
    const { base, point, response, challenge } = proof
    if (response.length !== z.length || challenge.length !== e.length) return slowly(proof)
    z.set(response)
    e.set(challenge)
    // The library reduces a private key of N or more instead of refusing it.
    if (!library.privateKeyVerify(z) || !library.privateKeyVerify(e)) return slowly(proof)
    try {
      if (equalBytes(base, generator)) onGenerator(point)
      else onBase(base, point)
      return out.slice() as PointBytes
    } catch {
      // The identity, an x of N or more, or no point: the slower way finds out which.
      return slowly(proof)
    }
  }
}
