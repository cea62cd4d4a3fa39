import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { attempt, decodeNodePublicKey, parsePublicKeyId, SIGNATURE_BYTES } from '@tkms/dkg'
import { BoundedMap } from '../serve/bounded-map.ts'

/** SubjectPublicKeyInfo of an Ed25519 key up to the key itself (RFC 8410). */
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex')

export interface SignatureVerifier {
  /** Whether the Ed25519 key behind the id ("ed25519:<64 hex>") signed the message. False for every other kind. Never throws. */
  verify(publicKeyId: string, message: Uint8Array, signature: Uint8Array): boolean
}

/**
 * Verifies requesters and issuers with node:crypto, for no quorum rests on them (architecture, rule 8). A key is admitted when first
 * seen: canonical, of prime order, never small order. The last `maxKeys` are remembered.
 */
export function createSignatureVerifier(options: { readonly maxKeys: number }): SignatureVerifier {
  const keys = new BoundedMap<string, KeyObject | 'refused'>(options.maxKeys)
  const admit = (publicKeyId: string): KeyObject | 'refused' => {
    const known = keys.get(publicKeyId)
    if (known !== undefined) return known
    const key = importKey(publicKeyId) ?? 'refused'
    keys.set(publicKeyId, key)
    return key
  }
  return {
    verify(publicKeyId, message, signature) {
      if (signature.length !== SIGNATURE_BYTES) return false
      const key = admit(publicKeyId)
      return key !== 'refused' && verify(null, message, key, signature)
    },
  }
}

function importKey(publicKeyId: string): KeyObject | undefined {
  const signer = attempt(() => parsePublicKeyId(publicKeyId))
  if (signer?.kind !== 'ed25519') return undefined
  const key = attempt(() => decodeNodePublicKey(signer.key, 'publicKeyId'))
  if (key === undefined) return undefined
  return createPublicKey({ key: Buffer.concat([ED25519_SPKI, key]), format: 'der', type: 'spki' })
}
