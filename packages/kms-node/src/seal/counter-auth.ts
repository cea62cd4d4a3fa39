import { hkdfSync } from 'node:crypto'
import { Secret } from '@tkms/dkg'

const AUTH_BYTES = 16
const DIGITS = '0123456789abcdef'

/**
 * The password of a store's counter: HKDF-SHA256(wrapping key, "TKMS/1/seal/tpm2/counter"), 16 bytes, in hex, because tools take a
 * password as text.
 * @param key 32 bytes, borrowed
 * @returns 32 ASCII characters
 */
export function counterAuth(key: Secret): Secret {
  const auth = key.use(
    (bytes) => new Uint8Array(hkdfSync('sha256', bytes, new Uint8Array(0), 'TKMS/1/seal/tpm2/counter', AUTH_BYTES)),
  )
  // A string of it could not be wiped.
  const text = new Uint8Array(2 * AUTH_BYTES)
  for (const [at, byte] of auth.entries()) {
    text[2 * at] = DIGITS.charCodeAt(byte >> 4)
    text[2 * at + 1] = DIGITS.charCodeAt(byte & 15)
  }
  auth.fill(0)
  return new Secret(text)
}
