import {
  type Curve,
  encodeScalar,
  equalBytes,
  KmsError,
  nobleCurve,
  ORDER,
  POINT_BYTES,
  type PointBytes,
  scalarModOrder,
  publicScalar,
  type Secret,
  type Term,
} from '@tkms/dkg'
import type bindings from 'secp256k1/bindings.js'
import { createEvaluator } from './evaluate.ts'
import { createFullPoints } from './full-points.ts'
import { createProofCommitment } from './proof-commitment.ts'
import { createSha256 } from './sha256.ts'
import { createPossessionSigner, createPossessionVerifier } from './possession.ts'

/** The native library, as loaded from `secp256k1/bindings.js`. */
export type Libsecp256k1 = typeof bindings

const SCALAR_BYTES = 32
const badScalar = (problem: string): KmsError => new KmsError('bad-scalar', problem)

/** SEC1 compression of affine coordinates of 32 bytes each. */
const compressInto =
  (out: Uint8Array) =>
  (x: Uint8Array, y: Uint8Array): Uint8Array => {
    out[0] = 2 + ((y[SCALAR_BYTES - 1] ?? 0) & 1)
    out.set(x, 1)
    return out
  }

/**
 * The `Curve` port over libsecp256k1: constant time for secrets (`ecdh`, `publicKeyCreate`, `privateKeyTweak*`), variable time for
 * public data (`publicKeyTweakMul`, `publicKeyCombine`). Possession proofs are composed from these operations. The binaries' `ecdh` branches on signs of a secret's digits (docs/threat-model.md, "Time and branches").
 * Secrets are lent to the library where they lie; copies of them and of what comes of them (`mulAddSecret`, `mulSecret`) are wiped; the
 * coordinates of a product, which a proof needs again, are written over by the fourth product after it (`full-points.ts`).
 */
export function createNativeCurve(library: Libsecp256k1): Curve {
  const { generator, secondGenerator } = nobleCurve
  const points = createFullPoints(library)
  points.remember(generator)
  points.remember(secondGenerator)

  function useScalar<T>(k: Secret, fn: (bytes: Uint8Array) => T): T {
    return k.use((bytes) => {
      if (bytes.length !== SCALAR_BYTES || !library.privateKeyVerify(bytes))
        throw badScalar('a secret scalar has 32 bytes and lies in 1..N-1')
      return fn(bytes)
    })
  }

  const response = new Uint8Array(SCALAR_BYTES)
  const tweak = new Uint8Array(SCALAR_BYTES)
  function mulAddSecret(factor: bigint, a: Secret, b: Secret): Uint8Array {
    tweak.set(encodeScalar(factor))
    return useScalar(a, (left) =>
      useScalar(b, (right) => {
        if (factor === 0n) return Uint8Array.from(right)
        response.set(left)
        try {
          library.privateKeyTweakMul(response, tweak)
          library.privateKeyTweakAdd(response, right)
          return response.slice()
        } catch {
          // Every operand was checked: the library refuses only the sum 0, whose encoding is 32 zero bytes.
          return new Uint8Array(SCALAR_BYTES)
        } finally {
          response.fill(0)
        }
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

  const proofCommitment = createProofCommitment(library, {
    generator,
    points,
    slowly: ({ base, point, response, challenge }) =>
      linearCombination([
        { scalar: publicScalar(response), point: base },
        { scalar: (ORDER - scalarModOrder(challenge)) % ORDER, point },
      ]),
  })

  /** A secret point until the call that fills it ends. */
  const product = new Uint8Array(POINT_BYTES)
  const x = new Uint8Array(SCALAR_BYTES)
  const y = new Uint8Array(SCALAR_BYTES)
  const ecdh = { hashfn: compressInto(product), xbuf: x, ybuf: y }
  const mulSecret: Curve['mulSecret'] = (point, k) =>
    useScalar(k, (bytes) => {
      try {
        library.ecdh(points.lend(point), bytes, ecdh, product)
        const result = product.slice() as PointBytes
        points.rememberProduct(result, x, y)
        return result
      } finally {
        for (const scratch of [product, x, y]) scratch.fill(0)
      }
    })
  const base = new Uint8Array(POINT_BYTES)
  const mulBaseSecret: Curve['mulBaseSecret'] = (k) =>
    useScalar(k, (bytes) => library.publicKeyCreate(bytes, true, base).slice()) as PointBytes
  const verifyPossession = createPossessionVerifier({ generator, proofCommitment })
  const signPossession = createPossessionSigner({ mulBaseSecret, mulAddSecret, verifyPossession }, (key) => {
    library.privateKeyNegate(key)
  })

  return {
    backend: 'libsecp256k1',
    generator,
    secondGenerator,
    isPoint: (bytes) => bytes.length === POINT_BYTES && points.remember(bytes),
    mulSecret,
    mulBaseSecret,
    mulAddSecret,
    sum: (summands) => sum(summands.map((point) => points.of(point))),
    linearCombination,
    proofCommitment,
    evaluate: createEvaluator(library, (point) => points.of(point)),
    signPossession,
    verifyPossession,
    sha256: createSha256(),
  }
}
