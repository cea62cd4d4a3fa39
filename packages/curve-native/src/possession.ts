import { type Curve, encodeScalar, equalBytes, isBelowOrder, KmsError, ORDER, Secret } from '@tkms/dkg'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'

const EVEN = 2
const number = (bytes: Uint8Array): bigint => BigInt(`0x${bytesToHex(bytes)}`)

function taggedHash(name: string): (...parts: readonly Uint8Array[]) => Uint8Array {
  const tag = sha256(utf8ToBytes(`BIP0340/${name}`))
  return (...parts) => sha256(concatBytes(tag, tag, ...parts))
}

const auxHash = taggedHash('aux')
const nonceHash = taggedHash('nonce')
const challengeHash = taggedHash('challenge')

/**
 * BIP-340 verification from two public multiplications: R = s*G - e*lift_x(P) is a point with even y and the x coordinate of the
 * signature. An r >= p equals no coordinate, so it needs no test of its own.
 */
export function createPossessionVerifier(
  group: Pick<Curve, 'generator' | 'proofCommitment'>,
): Curve['verifyPossession'] {
  return (point, message, signature) => {
    if (signature.length !== 64) return false
    const r = signature.subarray(0, 32)
    const s = signature.subarray(32)
    if (!isBelowOrder(s)) return false
    const lifted = Uint8Array.from(point) as typeof point
    lifted[0] = EVEN
    const challenge = challengeHash(r, point.subarray(1), message)
    const R = group.proofCommitment({ base: group.generator, point: lifted, response: s, challenge })
    return R !== undefined && R[0] === EVEN && equalBytes(R.subarray(1), r)
  }
}

/**
 * BIP-340 signing from two constant-time base multiplications. The parities of P and R are public, so the signs go into the public
 * factor e and the public s; only the nonce needs the key of even y itself. Ends with the BIP's verification (fault attacks).
 * @param negate n - key in place, constant time
 */
export function createPossessionSigner(
  group: Pick<Curve, 'mulBaseSecret' | 'mulAddSecret' | 'verifyPossession'>,
  negate: (key: Uint8Array) => void,
): Curve['signPossession'] {
  return (key, message, aux) => {
    if (aux.length !== 32) throw new KmsError('bad-parameters', 'the auxiliary randomness has 32 bytes')
    const P = group.mulBaseSecret(key)
    const keyIsEven = P[0] === EVEN
    const k = new Secret(deriveNonce(key, { keyIsEven, px: P.subarray(1), message, aux, negate }))
    try {
      const R = group.mulBaseSecret(k)
      const r = R.subarray(1)
      const e = number(challengeHash(r, P.subarray(1), message)) % ORDER
      // s = (+-k) + e * (+-key), with the sign of k taken out of the whole sum.
      const sameSign = keyIsEven === (R[0] === EVEN)
      const sum = number(group.mulAddSecret(sameSign ? e : (ORDER - e) % ORDER, key, k))
      const s = encodeScalar(R[0] === EVEN ? sum : (ORDER - sum) % ORDER)
      const signature = concatBytes(r, s)
      if (!group.verifyPossession(P, message, signature))
        throw new KmsError('self-check-failed', 'a fresh signature does not verify: this machine computes wrongly')
      return signature
    } finally {
      k.destroy()
    }
  }
}

interface NonceInput {
  readonly keyIsEven: boolean
  readonly px: Uint8Array
  readonly message: Uint8Array
  readonly aux: Uint8Array
  readonly negate: (key: Uint8Array) => void
}

function deriveNonce(key: Secret, { keyIsEven, px, message, aux, negate }: NonceInput): Uint8Array {
  const masked = key.use((bytes) => Uint8Array.from(bytes))
  if (!keyIsEven) negate(masked)
  const hashed = auxHash(aux)
  for (let at = 0; at < masked.length; at++) masked[at] = (masked[at] ?? 0) ^ (hashed[at] ?? 0)
  const rand = nonceHash(masked, px, message)
  masked.fill(0)
  const k = number(rand)
  if (k < ORDER) return rand
  rand.fill(0)
  return encodeScalar(k % ORDER)
}
