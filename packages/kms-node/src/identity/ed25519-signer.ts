import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { decodeNodePublicKey, type NodePublicKey, type Secret, type SignMessage } from '@tkms/dkg'

/** PKCS#8 of an Ed25519 key up to its seed (RFC 8410). */
const PKCS8_PREFIX = Uint8Array.from([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20])

function privateKeyOf(seed: Secret): ReturnType<typeof createPrivateKey> {
  return seed.use((bytes) => {
    const der = new Uint8Array(PKCS8_PREFIX.length + bytes.length)
    der.set(PKCS8_PREFIX)
    der.set(bytes, PKCS8_PREFIX.length)
    try {
      return createPrivateKey({ key: Buffer.from(der.buffer), format: 'der', type: 'pkcs8' })
    } finally {
      der.fill(0)
    }
  })
}

/**
 * Ed25519 signing with OpenSSL: deterministic, the same bytes as any other implementation (RFC 8032). The key lives in OpenSSL's
 * memory for as long as the function does.
 * @param seed 32 bytes, borrowed
 */
export function createSigner(seed: Secret): SignMessage {
  const key = privateKeyOf(seed)
  return (message) => Uint8Array.from(sign(null, message, key))
}

/** The public key of an Ed25519 seed of 32 bytes. */
export function publicKeyOf(seed: Secret): NodePublicKey {
  const jwk = createPublicKey(privateKeyOf(seed)).export({ format: 'jwk' })
  return decodeNodePublicKey(Uint8Array.from(Buffer.from(jwk.x ?? '', 'base64url')))
}
