import { type Curve, equalBytes, ORDER } from '@tkms/dkg'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'

const EVEN = 2
const CHALLENGE_TAG = sha256(utf8ToBytes('BIP0340/challenge'))
const number = (bytes: Uint8Array): bigint => BigInt(`0x${bytesToHex(bytes)}`)

/**
 * BIP-340 verification from two public multiplications: R = s*G - e*lift_x(P) is a point with even y and the x coordinate of the
 * signature. An r >= p equals no coordinate, so it needs no test of its own.
 */
export function createPossessionVerifier(
  group: Pick<Curve, 'generator' | 'linearCombination'>,
): Curve['verifyPossession'] {
  return (point, message, signature) => {
    if (signature.length !== 64) return false
    const r = signature.subarray(0, 32)
    const s = number(signature.subarray(32))
    if (s >= ORDER) return false
    const lifted = Uint8Array.from(point) as typeof point
    lifted[0] = EVEN
    const e = number(sha256(concatBytes(CHALLENGE_TAG, CHALLENGE_TAG, r, point.subarray(1), message))) % ORDER
    const R = group.linearCombination([
      { scalar: s, point: group.generator },
      { scalar: (ORDER - e) % ORDER, point: lifted },
    ])
    return R !== undefined && R[0] === EVEN && equalBytes(R.subarray(1), r)
  }
}
