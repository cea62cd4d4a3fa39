import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../../packages/dkg/src/errors.ts'
import type { Curve, Term } from '../../packages/dkg/src/primitives/curve.ts'
import { ORDER } from '../../packages/dkg/src/primitives/scalar.ts'
import type { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { PointBytes } from '../../packages/dkg/src/primitives/types.ts'

/**
 * A group of secp256k1's order in which multiplying costs next to nothing, because everybody can divide: the point k * G is written as
 * the number k itself. Prefix 02 and k for 1..(N-1)/2, prefix 03 and N - k above: the same 33 bytes, and the same two points for one x,
 * as on the curve. All equations of the protocol hold in it; nothing is secret in it.
 */

const HALF = (ORDER - 1n) / 2n

/** 32 bytes, big-endian. */
function toNumber(bytes: Uint8Array, offset = 0): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, 32)
  return (
    (((((view.getBigUint64(0) << 64n) | view.getBigUint64(8)) << 64n) | view.getBigUint64(16)) << 64n) |
    view.getBigUint64(24)
  )
}

function toBytes(value: bigint, prefix?: number): Uint8Array {
  const offset = prefix === undefined ? 0 : 1
  const out = new Uint8Array(32 + offset)
  if (prefix !== undefined) out[0] = prefix
  const view = new DataView(out.buffer, offset)
  view.setBigUint64(0, value >> 192n)
  view.setBigUint64(8, BigInt.asUintN(64, value >> 128n))
  view.setBigUint64(16, BigInt.asUintN(64, value >> 64n))
  view.setBigUint64(24, BigInt.asUintN(64, value))
  return out
}

/** The logarithm of a point: what the real curve hides. */
function logarithm(point: PointBytes): bigint {
  if (!isPoint(point)) throw dkgError('bad-point', 'not a point of the test group')
  const value = toNumber(point, 1)
  return point[0] === 2 ? value : ORDER - value
}

/** @param value 0..N-1; 0 is the identity, which has no encoding. */
function encode(value: bigint): PointBytes | undefined {
  if (value === 0n) return undefined
  return (value <= HALF ? toBytes(value, 2) : toBytes(ORDER - value, 3)) as PointBytes
}

const modulo = (value: bigint): bigint => value % ORDER

function requirePoint(point: PointBytes | undefined): PointBytes {
  if (point === undefined) throw dkgError('identity-result', 'the result is the identity')
  return point
}

function scalarOf(secret: Secret): bigint {
  return secret.use((bytes) => {
    const value = bytes.length === 32 ? toNumber(bytes) : 0n
    if (value === 0n || value >= ORDER) throw dkgError('bad-scalar', 'a scalar has 32 bytes and lies in 1..N-1')
    return value
  })
}

function isPoint(bytes: Uint8Array): boolean {
  if (bytes.length !== 33 || (bytes[0] !== 2 && bytes[0] !== 3)) return false
  const value = toNumber(bytes, 1)
  return value > 0n && value <= HALF
}

function factorOf({ scalar }: Term): bigint {
  if (scalar < 0n || scalar >= ORDER) throw dkgError('bad-scalar', 'a factor lies in 0..N-1')
  return scalar
}

function publicOf(response: Uint8Array): bigint {
  const value = toNumber(response)
  if (value >= ORDER) throw dkgError('bad-scalar', 'a factor lies in 0..N-1')
  return value
}

/** A signature that whoever sees the key can make: the key's x and the message. It binds both, which is all that honest code relies on. */
const possession = (point: PointBytes, message: Uint8Array): Uint8Array => concatBytes(point.subarray(1), message)

export const testGroup: Curve = {
  backend: 'test-group',
  generator: toBytes(1n, 2) as PointBytes,
  secondGenerator: requirePoint(encode((toNumber(sha256(utf8ToBytes('second generator'))) % (ORDER - 1n)) + 1n)),
  isPoint,
  mulSecret: (point, k) => requirePoint(encode(modulo(logarithm(point) * scalarOf(k)))),
  mulBaseSecret: (k) => requirePoint(encode(scalarOf(k))),
  mulAddSecret: (factor, a, b) => toBytes(modulo(factor * scalarOf(a) + scalarOf(b))),
  sum: (points) => encode(modulo(points.reduce((total, point) => total + logarithm(point), 0n))),
  linearCombination: (terms) =>
    encode(modulo(terms.reduce((total, term) => total + factorOf(term) * logarithm(term.point), 0n))),
  proofCommitment: ({ base, response, point, challenge }) =>
    encode(modulo(publicOf(response) * logarithm(base) + (ORDER - modulo(toNumber(challenge))) * logarithm(point))),
  evaluate: (coefficients, x) =>
    encode(coefficients.reduceRight((total, point) => modulo(total * BigInt(x) + logarithm(point)), 0n)),
  signPossession: (key, message) => possession(requirePoint(encode(scalarOf(key))), message),
  verifyPossession: (point, message, signature) =>
    message.length === 32 && signature.length === 64 && sameBytes(signature, possession(point, message)),
  sha256: (...parts) => sha256(concatBytes(...parts)),
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, at) => byte === right[at])
}
