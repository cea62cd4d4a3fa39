import { decrypt, encrypt, PrivateKey } from 'eciesjs'

/** ECIES on secp256k1 with one key in one place, in JavaScript: what a service does that is not threshold. */
export interface SingleKey {
  /** @returns the plaintext */
  decrypt(): Uint8Array
}

export function createSingleKey(plaintext: Uint8Array): SingleKey {
  const key = new PrivateKey()
  const ciphertext = encrypt(key.publicKey.toBytes(), plaintext)
  return { decrypt: () => decrypt(key.secret, ciphertext) }
}
