import { schnorr } from '@noble/curves/secp256k1.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { hexToBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import type { Curve, Term } from './curve.ts'
import { decodeScalar, encodeScalar, modOrder, ORDER, publicScalar, scalarModOrder } from './scalar.ts'
import type { Secret } from './secret.ts'
import type { PointBytes } from './types.ts'

// Of noble's two ways to this class the one that does not bring ECDSA into every page.
const { Point } = schnorr
type Point = InstanceType<typeof Point>

const encode = (point: Point): PointBytes | undefined => (point.is0() ? undefined : (point.toBytes(true) as PointBytes))
const generator = Point.BASE.toBytes(true) as PointBytes
const decode = (bytes: PointBytes): Point => (bytes === generator ? Point.BASE : Point.fromBytes(bytes))

function requirePoint(bytes: PointBytes | undefined): PointBytes {
  if (bytes === undefined) throw dkgError('identity-result', 'the result is the identity')
  return bytes
}

function isPoint(bytes: Uint8Array): boolean {
  try {
    Point.fromBytes(bytes).assertValidity()
    return true
  } catch {
    // noble says "not a point" only by throwing; there is no other failure to hide.
    return false
  }
}

/** Public inputs only: variable time is fine. Two at a time, which share their doublings. */
function combine(terms: readonly Term[]): Point {
  if (terms.some(({ scalar }) => scalar < 0n || scalar >= ORDER))
    throw dkgError('bad-scalar', 'a factor lies in 0..N-1')
  let total = Point.ZERO
  for (let at = 0; at < terms.length; at += 2) {
    const [first, second] = [terms[at], terms[at + 1]]
    if (first === undefined) continue
    const point = decode(first.point)
    total = total.add(
      second === undefined
        ? point.multiplyUnsafe(first.scalar)
        : point.mulAddUnsafe(first.scalar, decode(second.point), second.scalar),
    )
  }
  return total
}

/** Public inputs only: double-and-add over the 16 bits of a participant index is far cheaper than a full multiplication. */
function evaluate(coefficients: readonly PointBytes[], x: number): PointBytes | undefined {
  const factor = BigInt(x)
  let result = Point.ZERO
  for (const coefficient of coefficients.toReversed()) result = result.multiplyUnsafe(factor).add(decode(coefficient))
  return encode(result)
}

/**
 * Gbar = `hashToCurve("TKMS/1 second generator", "TKMS-V1-GBAR-secp256k1_XMD:SHA-256_SSWU_RO_")`. A test and the second implementation
 * compute it; a constant keeps the map to the curve, a tenth of a page's code, out of every page.
 */
const SECOND_GENERATOR = hexToBytes('028d16c7b199d85dc76b107f881b2ac31ccd6cfab8afa47662c5f47c3b05d1d34c') as PointBytes

/** The portable backend and the reference for the native one. */
export const nobleCurve: Curve = {
  backend: 'noble',
  generator,
  secondGenerator: SECOND_GENERATOR,
  isPoint,
  // `multiply` is noble's blinded, fixed-window path; 0 and N never reach it.
  mulSecret: (point, k) => requirePoint(encode(decode(point).multiply(k.use(decodeScalar)))),
  mulBaseSecret: (k) => requirePoint(encode(Point.BASE.multiply(k.use(decodeScalar)))),
  mulAddSecret: (factor: bigint, a: Secret, b: Secret) =>
    encodeScalar(modOrder(factor * a.use(decodeScalar) + b.use(decodeScalar))),
  sum: (points) => encode(points.reduce((total, point) => total.add(decode(point)), Point.ZERO)),
  linearCombination: (terms) => encode(combine(terms)),
  proofCommitment: ({ base, response, point, challenge }) =>
    encode(
      combine([
        { scalar: publicScalar(response), point: base },
        { scalar: modOrder(-scalarModOrder(challenge)), point },
      ]),
    ),
  evaluate,
  signPossession: (key, message, aux) => key.use((bytes) => schnorr.sign(message, bytes, aux)),
  verifyPossession: (point, message, signature) => schnorr.verify(signature, message, point.subarray(1)),
  sha256: (...parts) => {
    const hash = sha256.create()
    for (const part of parts) hash.update(part)
    return hash.digest()
  },
}
