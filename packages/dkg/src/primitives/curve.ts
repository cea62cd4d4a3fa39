import type { Secret } from './secret.ts'
import type { PointBytes } from './types.ts'

/** One term of a public linear combination. `scalar` in 0..N-1. */
export interface Term {
  readonly scalar: bigint
  readonly point: PointBytes
}

/** What a proof or a signature of Schnorr's kind says: a response to a challenge, for the logarithm of `point` to `base`. Public data. */
export interface ProofResponse {
  readonly base: PointBytes
  readonly point: PointBytes
  /** 32 bytes, 0..N-1. */
  readonly response: Uint8Array
  /** 32 bytes; taken mod N. */
  readonly challenge: Uint8Array
}

/**
 * The group, as the protocol sees it: encoded points in, encoded points out. `undefined` is the identity, which has no encoding.
 * Backends: noble (`nobleCurve`, portable, the reference) and libsecp256k1 (`@tkms/curve-native`). Both pass the same tests.
 * Methods that take a `Secret` do not branch on it or index by it; the others are variable time and take public data only.
 */
export interface Curve {
  readonly backend: 'noble' | 'libsecp256k1' | 'test-group'
  readonly generator: PointBytes
  /** Gbar: a generator whose logarithm to the other one nobody knows (protocol 7). */
  readonly secondGenerator: PointBytes

  /** Whether these 33 bytes encode a point on the curve (the caller has checked length and prefix: use `decodePoint`). */
  isPoint(bytes: Uint8Array): boolean

  /** k * point, constant time. @param k 32 bytes, 1..N-1. @throws KmsError `bad-scalar` */
  mulSecret(point: PointBytes, k: Secret): PointBytes
  /** k * G, constant time. @param k 32 bytes, 1..N-1. @throws KmsError `bad-scalar` */
  mulBaseSecret(k: Secret): PointBytes
  /** factor * a + b mod N for the response of a proof. @param factor public, 0..N-1. @returns 32 bytes, 0..N-1 */
  mulAddSecret(factor: bigint, a: Secret, b: Secret): Uint8Array

  /** Sum of public points. */
  sum(points: readonly PointBytes[]): PointBytes | undefined
  /** Sum of scalar * point, public data. */
  linearCombination(terms: readonly Term[]): PointBytes | undefined
  /** response * base - challenge * point: the nonce's point, as a verifier finds it again. @throws KmsError `bad-scalar` */
  proofCommitment(proof: ProofResponse): PointBytes | undefined
  /** sum_k x^k * coefficients[k] by Horner's rule with the small public x (protocol D6). @param x 1..65535 */
  evaluate(coefficients: readonly PointBytes[], x: number): PointBytes | undefined

  /** BIP-340 signature: proof that its maker knows the logarithm of +-key*G. @param message 32 bytes. @param aux 32 bytes. @returns 64 bytes */
  signPossession(key: Secret, message: Uint8Array, aux: Uint8Array): Uint8Array
  /** BIP-340 verification under the x coordinate of `point`. */
  verifyPossession(point: PointBytes, message: Uint8Array, signature: Uint8Array): boolean

  /** SHA-256 of the parts, one after the other, as fast as the backend has it: 32 bytes. What was hashed, which may be secret, is kept nowhere. */
  sha256(...parts: readonly Uint8Array[]): Uint8Array
}
