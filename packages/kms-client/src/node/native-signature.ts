import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { bytesKey, type NodePublicKey, type Secret, SIGNATURE_BYTES, type VerifyMessage } from '@tkms/dkg'
import { createEd25519Signer, type RequestSigner } from '../signer.ts'

/** More keys than a committee has members: those of a caller that asks many clusters. */
const MAX_KEYS = 256

/** What comes before the 32 bytes of an Ed25519 key in its SPKI (RFC 8410). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/**
 * Ed25519 by OpenSSL (RFC 8032, 5.1.7, without cofactor), twenty times faster than noble. Not for what enters a certificate or
 * evidence, which one strict verifier must judge everywhere. The keys were admitted when the cluster file was read; they are kept ready, the least recently used goes first.
 */
export function createNativeVerifier(): VerifyMessage {
  const keys = new Map<string, KeyObject>()

  function keyOf(publicKey: NodePublicKey): KeyObject {
    const name = bytesKey(publicKey)
    const key =
      keys.get(name) ?? createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: 'der', type: 'spki' })
    keys.delete(name)
    keys.set(name, key)
    const [oldest] = keys.keys()
    if (keys.size > MAX_KEYS && oldest !== undefined) keys.delete(oldest)
    return key
  }

  return (publicKey, message, signature) =>
    signature.length === SIGNATURE_BYTES && verify(null, message, keyOf(publicKey), signature)
}

/** What comes before the 32 bytes of a seed in PKCS#8 (RFC 8410). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/**
 * `createEd25519Signer` by OpenSSL: the same signatures, twenty times faster. OpenSSL keeps the key for as long as the signer is there; with
 * the seed destroyed it signs no more.
 * @param seed 32 bytes
 * @throws KmsError `bad-argument` for another length, `secret-destroyed` from `sign` after the seed was wiped
 */
export function createNativeSigner(seed: Secret): RequestSigner {
  const { publicKeyId } = createEd25519Signer(seed)
  const key = seed.use((bytes) => {
    const der = Buffer.concat([PKCS8_PREFIX, bytes])
    try {
      return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    } finally {
      der.fill(0)
    }
  })
  return {
    publicKeyId,
    sign: ({ message }) => seed.use(() => Uint8Array.from(sign(null, message, key))),
  }
}
