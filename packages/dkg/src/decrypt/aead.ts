import { gcm } from '@noble/ciphers/aes.js'
import { dkgError } from '../errors.ts'

/** AES-GCM's tag, at the end of every ciphertext. */
export const TAG_BYTES = 16
/** Nothing is released before the tag is checked, so a plaintext stays in memory whole: seal a data key for more. */
export const MAX_PLAINTEXT_BYTES: number = 64 * 1024 * 1024

/** @throws KmsError `too-large` */
export function requirePlaintextLength(plaintext: Uint8Array): void {
  if (plaintext.length > MAX_PLAINTEXT_BYTES)
    throw dkgError('too-large', 'an envelope holds at most 64 MiB', { data: { maxBytes: MAX_PLAINTEXT_BYTES } })
}

/** @throws KmsError `bad-envelope` */
export function requireCiphertextLength(ciphertext: Uint8Array): void {
  if (ciphertext.length < TAG_BYTES || ciphertext.length > MAX_PLAINTEXT_BYTES + TAG_BYTES)
    throw dkgError('bad-envelope', 'a ciphertext has 16 bytes to 64 MiB + 16', { data: { check: 'length' } })
}

/** @throws KmsError `bad-envelope` with `data.check` = `tag` */
export function decryptGcm(input: {
  readonly key: Uint8Array
  readonly nonce: Uint8Array
  readonly aad: Uint8Array | undefined
  readonly ciphertext: Uint8Array
}): Uint8Array {
  try {
    return gcm(input.key, input.nonce, input.aad).decrypt(input.ciphertext)
  } catch (cause) {
    throw dkgError('bad-envelope', 'the ciphertext does not open under this key', { data: { check: 'tag' }, cause })
  }
}
