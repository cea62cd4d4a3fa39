import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import {
  attempt,
  decodeNodePublicKey,
  equalBytes,
  parsePublicKeyId,
  recoverEthereumAddress,
  SIGNATURE_BYTES,
  type Statement,
  typedDataDigest,
} from '@tkms/dkg'
import { BoundedMap } from '../serve/bounded-map.ts'
import type { ContractWallets } from './contract-wallet.ts'

/** SubjectPublicKeyInfo of an Ed25519 key up to the key itself (RFC 8410). */
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex')

export interface SignatureVerifier {
  /**
   * Whether the Ed25519 key ("ed25519:..") or the wallet ("eip712:0x..") behind an id signed the statement. False for every other id.
   * @throws KmsError `chain-unavailable` where a contract wallet would have to be asked and its chain says nothing
   */
  verify(signerId: string, statement: Statement, signature: Uint8Array, signal: AbortSignal): Promise<boolean>
}

/**
 * Verifies requesters and issuers with node:crypto, for no quorum rests on them (architecture, rule 8). A key is admitted when first
 * seen: canonical, of prime order, never small order. The last `maxKeys` are remembered.
 * @param options.wallets what cannot be the signature of an address' own key is asked of it as a contract; without, it is refused
 */
export function createSignatureVerifier(options: {
  readonly maxKeys: number
  readonly wallets?: ContractWallets
}): SignatureVerifier {
  const keys = new BoundedMap<string, KeyObject | 'refused'>(options.maxKeys)

  const admit = (signerId: string, raw: Uint8Array): KeyObject | 'refused' => {
    const known = keys.get(signerId)
    if (known !== undefined) return known
    const key = importKey(raw) ?? 'refused'
    keys.set(signerId, key)
    return key
  }

  return {
    async verify(signerId, statement, signature, signal) {
      const signer = attempt(() => parsePublicKeyId(signerId))
      if (signer?.kind === 'ed25519') {
        if (signature.length !== SIGNATURE_BYTES) return false
        const key = admit(signerId, signer.key)
        return key !== 'refused' && verify(null, statement.message, key, signature)
      }
      if (signer?.kind !== 'eip712') return false
      const { address } = signer
      const digest = typedDataDigest(statement.typedData)
      const recovered = recoverEthereumAddress(digest, signature)
      if (recovered !== undefined && equalBytes(recovered, address)) return true
      return (await options.wallets?.accepts({ address, digest, signature, signal })) ?? false
    },
  }
}

function importKey(raw: Uint8Array): KeyObject | undefined {
  const key = attempt(() => decodeNodePublicKey(raw, 'publicKeyId'))
  if (key === undefined) return undefined
  return createPublicKey({ key: Buffer.concat([ED25519_SPKI, key]), format: 'der', type: 'spki' })
}
