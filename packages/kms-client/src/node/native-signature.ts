import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { bytesKey, type NodePublicKey, SIGNATURE_BYTES, type VerifyMessage } from '@tkms/dkg'

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
