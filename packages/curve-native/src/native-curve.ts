import {
  type Curve,
  encodeScalar,
  equalBytes,
  KmsError,
  nobleCurve,
  POINT_BYTES,
  type PointBytes,
  type Secret,
  type Term,
} from '@tkms/dkg'
import type bindings from 'secp256k1/bindings.js'
import { createEvaluator } from './evaluate.ts'
import { createPossessionSigner, createPossessionVerifier } from './possession.ts'

/** The native library, as loaded from `secp256k1/bindings.js`. */
export type Libsecp256k1 = typeof bindings

const SCALAR_BYTES = 32
const badScalar = (problem: string): KmsError => new KmsError('bad-scalar', problem)

/** SEC1 compression of affine coordinates of 32 bytes each. */
function compress(x: Uint8Array, y: Uint8Array): Uint8Array {
  const out = new Uint8Array(POINT_BYTES)
  out[0] = 2 + ((y[SCALAR_BYTES - 1] ?? 0) & 1)
  out.set(x, 1)
  return out
}

/**
 * The `Curve` port over libsecp256k1: constant time for secrets (`ecdh`, `publicKeyCreate`, `privateKeyTweak*`), variable time for
 * public data (`publicKeyTweakMul`, `publicKeyCombine`). Hash-to-curve, which the library lacks, is noble's; possession proofs are
 * composed from these operations. Secrets are lent to the library where they lie; the one copy (`mulAddSecret`) becomes the public result or is wiped.
 */
export function createNativeCurve(library: Libsecp256k1): Curve {
  const { generator } = nobleCurve

  function useScalar<T>(k: Secret, fn: (bytes: Uint8Array) => T): T {
    return k.use((bytes) => {
      if (bytes.length !== SCALAR_BYTES || !library.privateKeyVerify(bytes))
        throw badScalar('a secret scalar has 32 bytes and lies in 1..N-1')
      return fn(bytes)
    })
  }

  function mulAddSecret(factor: bigint, a: Secret, b: Secret): Uint8Array {
    const tweak = encodeScalar(factor)
    return useScalar(a, (left) =>
      useScalar(b, (right) => {
        if (factor === 0n) return Uint8Array.from(right)
        const sum = Uint8Array.from(left)
        try {
          library.privateKeyTweakMul(sum, tweak)
          library.privateKeyTweakAdd(sum, right)
        } catch {
          // Every operand was checked: the library refuses only the sum 0, whose encoding is 32 zero bytes.
          sum.fill(0)
        }
        return sum
      }),
    )
  }

  function sum(points: readonly PointBytes[]): PointBytes | undefined {
    if (points.length === 0) return undefined
    try {
      return library.publicKeyCombine(points) as PointBytes
    } catch (cause) {
      if (!points.every((point) => library.publicKeyVerify(point)))
        throw new KmsError('bad-point', 'a summand is not a curve point', { cause })
      // All summands are points: the library refuses only the sum that has no encoding.
      return undefined
    }
  }

  /** Public inputs only: variable time is fine. */
  function multiplyPublic({ scalar, point }: Term): PointBytes | undefined {
    const bytes = encodeScalar(scalar)
    if (scalar === 0n) return undefined
    const product = equalBytes(point, generator)
      ? library.publicKeyCreate(bytes)
      : library.publicKeyTweakMul(point, bytes)
    return product as PointBytes
  }

  function linearCombination(terms: readonly Term[]): PointBytes | undefined {
    return sum(terms.map(multiplyPublic).filter((point) => point !== undefined))
  }

  const mulBaseSecret: Curve['mulBaseSecret'] = (k) =>
    useScalar(k, (bytes) => library.publicKeyCreate(bytes)) as PointBytes
  const verifyPossession = createPossessionVerifier({ generator, linearCombination })
  const signPossession = createPossessionSigner({ mulBaseSecret, mulAddSecret, verifyPossession }, (key) => {
    library.privateKeyNegate(key)
  })

  return {
    backend: 'libsecp256k1',
    generator,
    isPoint: (bytes) => bytes.length === POINT_BYTES && library.publicKeyVerify(bytes),
    mulSecret: (point, k) =>
      useScalar(k, (bytes) =>
        library.ecdh(point, bytes, { hashfn: compress }, new Uint8Array(POINT_BYTES)),
      ) as PointBytes,
    mulBaseSecret,
    mulAddSecret,
    sum,
    linearCombination,
    evaluate: createEvaluator(library, (point) => point),
    signPossession,
    verifyPossession,
    hashToCurve: (message, dst) => nobleCurve.hashToCurve(message, dst),
  }
}
