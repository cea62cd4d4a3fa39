import {
  type Curve,
  encodeScalar,
  equalBytes,
  KmsError,
  nobleCurve,
  ORDER,
  POINT_BYTES,
  type PointBytes,
  type ProofResponse,
  scalarModOrder,
  publicScalar,
  type Secret,
  type Term,
} from '@tkms/dkg'
import type bindings from 'secp256k1/bindings.js'
import { createEvaluator } from './evaluate.ts'
import { createFullPoints } from './full-points.ts'
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
  const points = createFullPoints(library)
  points.remember(generator)

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

  function sum(summands: readonly Uint8Array[]): PointBytes | undefined {
    if (summands.length === 0) return undefined
    try {
      return library.publicKeyCombine(summands) as PointBytes
    } catch (cause) {
      if (!summands.every((point) => library.publicKeyVerify(point)))
        throw new KmsError('bad-point', 'a summand is not a curve point', { cause })
      // All summands are points: the library refuses only the sum that has no encoding.
      return undefined
    }
  }

  /** Public inputs only: variable time is fine. */
  function multiplyPublic({ scalar, point }: Term): Uint8Array | undefined {
    const bytes = encodeScalar(scalar)
    if (scalar === 0n) return undefined
    return equalBytes(point, generator)
      ? library.publicKeyCreate(bytes, false)
      : library.publicKeyTweakMul(points.of(point), bytes, false)
  }

  function linearCombination(terms: readonly Term[]): PointBytes | undefined {
    return sum(terms.map(multiplyPublic).filter((point) => point !== undefined))
  }

  /** Public inputs only: variable time is fine. */
  function proofCommitment(proof: ProofResponse): PointBytes | undefined {
    const { base, point, response, challenge } = proof
    if (library.privateKeyVerify(response) && library.privateKeyVerify(challenge)) {
      const quick = equalBytes(base, generator)
        ? recoverCommitment(library, proof)
        : sum([
            library.publicKeyTweakMul(points.of(base), response, false),
            library.publicKeyTweakMul(points.of(point), library.privateKeyNegate(Uint8Array.from(challenge)), false),
          ])
      if (quick !== undefined) return quick
    }
    return linearCombination([
      { scalar: publicScalar(response), point: base },
      { scalar: (ORDER - scalarModOrder(challenge)) % ORDER, point },
    ])
  }

  const mulBaseSecret: Curve['mulBaseSecret'] = (k) =>
    useScalar(k, (bytes) => library.publicKeyCreate(bytes)) as PointBytes
  const verifyPossession = createPossessionVerifier({ generator, proofCommitment })
  const signPossession = createPossessionSigner({ mulBaseSecret, mulAddSecret, verifyPossession }, (key) => {
    library.privateKeyNegate(key)
  })

  return {
    backend: 'libsecp256k1',
    generator,
    isPoint: (bytes) => bytes.length === POINT_BYTES && points.remember(bytes),
    mulSecret: (point, k) =>
      useScalar(k, (bytes) =>
        library.ecdh(points.of(point), bytes, { hashfn: compress }, new Uint8Array(POINT_BYTES)),
      ) as PointBytes,
    mulBaseSecret,
    mulAddSecret,
    sum: (summands) => sum(summands.map((point) => points.of(point))),
    linearCombination,
    proofCommitment,
    evaluate: createEvaluator(library, (point) => points.of(point)),
    signPossession,
    verifyPossession,
    hashToCurve: (message, dst) => nobleCurve.hashToCurve(message, dst),
  }
}

/**
 * response * G - challenge * P in one operation: ECDSA's recovery computes (s * R - z * G) / r for a point R of x coordinate r, here
 * R = -P, s = challenge * r and z = -response * r. Public data only.
 * @returns undefined where the library refuses: for the identity, for a P that is no point or whose x is N or more
 */
function recoverCommitment(
  library: Libsecp256k1,
  { point, response, challenge }: ProofResponse,
): PointBytes | undefined {
  const r = point.subarray(1)
  if (!library.privateKeyVerify(r)) return undefined
  const signature = new Uint8Array(2 * SCALAR_BYTES)
  signature.set(r)
  const s = signature.subarray(SCALAR_BYTES)
  s.set(challenge)
  library.privateKeyTweakMul(s, r)
  const z = library.privateKeyNegate(library.privateKeyTweakMul(Uint8Array.from(response), r))
  try {
    return library.ecdsaRecover(signature, point[0] === 2 ? 1 : 0, z) as PointBytes
  } catch {
    // Which of the reasons it was, the slower way finds out.
    return undefined
  }
}
