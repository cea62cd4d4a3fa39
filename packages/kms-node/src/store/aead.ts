import { createCipheriv, createDecipheriv } from 'node:crypto'
import { Secret } from '@tkms/dkg'

export const NONCE_BYTES = 12
export const TAG_BYTES = 16
export const KEY_BYTES = 32

export interface AeadInput {
  /** 32 bytes. */
  readonly key: Secret
  /** 12 bytes, never used twice with one key. */
  readonly nonce: Uint8Array
  readonly aad: Uint8Array
}

/** AES-256-GCM. @returns nonce(12) || ciphertext || tag(16) */
export function sealAead({ key, nonce, aad }: AeadInput, plaintext: Secret): Uint8Array {
  const cipher = key.use((bytes) => createCipheriv('aes-256-gcm', bytes, nonce, { authTagLength: TAG_BYTES }))
  cipher.setAAD(aad)
  const body = plaintext.use((bytes) => cipher.update(bytes))
  const rest = cipher.final()
  return new Uint8Array(Buffer.concat([nonce, body, rest, cipher.getAuthTag()]))
}

/** @param sealed nonce(12) || ciphertext || tag(16). @returns undefined when the tag does not hold */
export function openAead({ key, aad }: Omit<AeadInput, 'nonce'>, sealed: Uint8Array): Secret | undefined {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return undefined
  const nonce = sealed.subarray(0, NONCE_BYTES)
  const body = sealed.subarray(NONCE_BYTES, sealed.length - TAG_BYTES)
  const decipher = key.use((bytes) => createDecipheriv('aes-256-gcm', bytes, nonce, { authTagLength: TAG_BYTES }))
  decipher.setAAD(aad)
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES))
  const plaintext = decipher.update(body)
  try {
    decipher.final()
    return Secret.copyOf(plaintext)
  } catch {
    // node:crypto says "wrong tag" only by throwing.
    return undefined
  } finally {
    plaintext.fill(0)
  }
}
