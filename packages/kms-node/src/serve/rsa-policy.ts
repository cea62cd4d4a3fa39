import { constants, createPublicKey, type KeyObject, publicEncrypt } from 'node:crypto'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { BoundedMap } from './bounded-map.ts'
import { bitLength, hasCloseFactors, hasSmallFactor, isRocaModulus, isSquare } from './rsa-numbers.ts'
import { parseRsaSpki } from './rsa-spki.ts'

export const MIN_MODULUS_BITS = 2048
export const MAX_MODULUS_BITS = 8192
const PUBLIC_EXPONENT = 65_537n

/** Why an RSA key is refused (protocol 12, rows 39-41). */
export type RsaWeakness =
  | 'not-spki'
  | 'modulus-size'
  | 'exponent'
  | 'even-modulus'
  | 'square-modulus'
  | 'roca'
  | 'small-factor'
  | 'close-factors'

export type RsaVerdict =
  | {
      readonly kind: 'accepted'
      readonly key: KeyObject
      /** Length of one OAEP block. */
      readonly modulusBytes: number
    }
  | { readonly kind: 'refused'; readonly weakness: RsaWeakness }

/** The first weakness of an RSA public key, cheapest check first. The modulus itself is measured, never its encoding. */
export function findRsaWeakness(spki: Uint8Array): RsaWeakness | undefined {
  const numbers = parseRsaSpki(spki)
  if (numbers === undefined) return 'not-spki'
  const { modulus, exponent } = numbers
  const bits = bitLength(modulus)
  if (bits < MIN_MODULUS_BITS || bits > MAX_MODULUS_BITS) return 'modulus-size'
  if (exponent !== PUBLIC_EXPONENT) return 'exponent'
  if ((modulus & 1n) === 0n) return 'even-modulus'
  if (isRocaModulus(modulus)) return 'roca'
  if (isSquare(modulus)) return 'square-modulus'
  if (hasSmallFactor(modulus)) return 'small-factor'
  return hasCloseFactors(modulus) ? 'close-factors' : undefined
}

export interface RsaPolicy {
  /** @param spki DER SubjectPublicKeyInfo, at most a few KiB. Never throws. */
  check(spki: Uint8Array): RsaVerdict
}

/** Remembers the verdict and the imported key of the last `maxEntries` keys seen, by SHA-256 of the SPKI. */
export function createRsaPolicy(options: { readonly maxEntries: number }): RsaPolicy {
  const verdicts = new BoundedMap<string, RsaVerdict>(options.maxEntries)
  return {
    check(spki) {
      const name = bytesToHex(sha256(spki))
      const known = verdicts.get(name)
      if (known !== undefined) return known
      const verdict = judge(spki)
      verdicts.set(name, verdict)
      return verdict
    },
  }
}

function judge(spki: Uint8Array): RsaVerdict {
  const weakness = findRsaWeakness(spki)
  if (weakness !== undefined) return { kind: 'refused', weakness }
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  return { kind: 'accepted', key, modulusBytes: Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8) }
}

/** RSA-OAEP, SHA-256 for hash and mask, empty label (RFC 8017). @param plaintext at most modulusBytes - 66 */
export const wrapOaep = (key: KeyObject, plaintext: Uint8Array): Uint8Array =>
  new Uint8Array(publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, plaintext))
