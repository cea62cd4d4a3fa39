import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { bytesToNumberBE } from '@noble/curves/utils.js'
import { dkgError } from '../errors.ts'
import { equalBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { encodeScalar, isBelowOrder, isSecretScalar, modOrder } from '../primitives/scalar.ts'
import { Secret } from '../primitives/secret.ts'
import type { PointBytes } from '../primitives/types.ts'

/** e (32 bytes) || s (32 bytes). */
export const DLEQ_PROOF_BYTES = 64

type TaggedHash = (curve: Curve, ...parts: readonly Uint8Array[]) => Uint8Array

function bip374Hash(name: string): TaggedHash {
  const tag = sha256(utf8ToBytes(`BIP0374/${name}`))
  const prefix = concatBytes(tag, tag)
  return (curve, ...parts) => curve.sha256(prefix, ...parts)
}

const auxHash = bip374Hash('aux')
const nonceHash = bip374Hash('nonce')
const challengeHash = bip374Hash('challenge')

export interface DleqStatement {
  /** A = a * base. */
  readonly A: PointBytes
  readonly B: PointBytes
  /** C = a * B. */
  readonly C: PointBytes
  /** The generator of A; secp256k1's G unless said otherwise. */
  readonly base: PointBytes
  /** 32 bytes, or none: everything else the proof is bound to. */
  readonly message?: Uint8Array
}

export interface DleqWitness {
  /** a, 32 bytes, 1..N-1. */
  readonly secret: Secret
  /** a * base where it is known from elsewhere, which saves a multiplication; another point than that ends in `self-check-failed`. */
  readonly A?: PointBytes
  readonly B: PointBytes
  readonly base: PointBytes
  readonly message?: Uint8Array
  /** r, 32 fresh random bytes. A broken source only removes the hedge: the nonce also depends on secret, statement and message. */
  readonly aux: Uint8Array
}

export interface ProvenProduct {
  readonly A: PointBytes
  readonly C: PointBytes
  /** 64 bytes. */
  readonly proof: Uint8Array
}

/**
 * BIP-374 v0.2.0 GenerateProof: computes A = a * base and C = a * B, and proves that both have the same logarithm.
 * v0.2.0 binds the message into the nonce; 0.1.0 did not, and two messages for one B with one r leaked the secret.
 * Ends with the BIP's self-verification (fault attacks).
 * @throws KmsError `bad-scalar` for a secret outside 1..N-1, `self-check-failed` if the machine computed wrongly, or the secret is not behind `A`
 */
export function proveDleq(curve: Curve, witness: DleqWitness): ProvenProduct {
  const { secret, B, base, aux } = witness
  const message = witness.message ?? new Uint8Array(0)
  if (aux.length !== 32) throw dkgError('bad-parameters', 'the auxiliary randomness has 32 bytes')
  const onG = equalBytes(base, curve.generator)
  const multiplyBase = (k: Secret): PointBytes => (onG ? curve.mulBaseSecret(k) : curve.mulSecret(base, k))

  const A = witness.A ?? multiplyBase(secret)
  const C = curve.mulSecret(B, secret)
  const masked = auxHash(curve, aux)
  secret.use((bytes) => {
    for (let at = 0; at < 32; at++) masked[at] = (masked[at] ?? 0) ^ (bytes[at] ?? 0)
  })
  const rand = nonceHash(curve, masked, A, C, message)
  masked.fill(0)
  const k = reduceNonce(rand)
  const R1 = multiplyBase(k)
  const R2 = curve.mulSecret(B, k)
  const e = challengeHash(curve, A, B, C, base, R1, R2, message)
  const s = curve.mulAddSecret(modOrder(bytesToNumberBE(e)), secret, k)
  k.destroy()
  const proof = concatBytes(e, s)
  const statement: DleqStatement = { A, B, C, base, ...(witness.message ? { message: witness.message } : {}) }
  if (!verifyDleq(curve, statement, proof))
    throw dkgError('self-check-failed', 'a fresh proof does not verify: this machine computes wrongly')
  return { A, C, proof }
}

/** rand mod N without a branch on its value beyond the one-in-2^128 reduction; 0 is refused as the BIP says. Takes `rand` over. */
function reduceNonce(rand: Uint8Array): Secret {
  if (isSecretScalar(rand)) return new Secret(rand)
  const k = modOrder(bytesToNumberBE(rand))
  rand.fill(0)
  if (k === 0n) throw dkgError('self-check-failed', 'the nonce is zero')
  return new Secret(encodeScalar(k))
}

/**
 * BIP-374 VerifyProof. e is compared unreduced and reduced only to multiply; s >= N, R1 or R2 = identity are refused.
 * Public data only: variable time is fine.
 * @param proof 64 bytes
 */
export function verifyDleq(curve: Curve, statement: DleqStatement, proof: Uint8Array): boolean {
  if (proof.length !== DLEQ_PROOF_BYTES) return false
  const { A, B, C, base } = statement
  const e = proof.slice(0, 32)
  const s = proof.slice(32)
  if (!isBelowOrder(s)) return false
  const R1 = curve.proofCommitment({ base, point: A, response: s, challenge: e })
  const R2 = curve.proofCommitment({ base: B, point: C, response: s, challenge: e })
  if (R1 === undefined || R2 === undefined) return false
  return equalBytes(e, challengeHash(curve, A, B, C, base, R1, R2, statement.message ?? new Uint8Array(0)))
}
