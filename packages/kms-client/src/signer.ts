import { ed25519 } from '@noble/curves/ed25519.js'
import { formatPublicKeyId, type Secret, type Statement } from '@tkms/dkg'
import { clientError } from './errors.ts'

/** Who asks: signs requests, or once the session in which they are asked (interfaces 2, 3). */
export interface RequestSigner {
  /** "ed25519:<64 hex>" or "eip712:0x<40 hex>", the name under which policies and owner labels know the requester. */
  readonly publicKeyId: string
  /**
   * Signs a request or a session: its `message` with an Ed25519 key, its `typedData` with a wallet.
   * @returns the signature that goes with `publicKeyId`: 64 bytes for Ed25519, 65 for a wallet, up to 512 for a contract
   */
  sign(statement: Statement): Uint8Array | Promise<Uint8Array>
}

const SEED_BYTES = 32

/**
 * An Ed25519 signer over a seed (RFC 8032). The seed stays the caller's: destroying it ends the signer.
 * @param seed 32 bytes
 * @throws KmsError `bad-argument` for another length, `secret-destroyed` from `sign` after the seed was wiped
 * @example
 * const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
 */
export function createEd25519Signer(seed: Secret): RequestSigner {
  if (seed.length !== SEED_BYTES) throw clientError('bad-argument', 'an Ed25519 seed has 32 bytes')
  const key = seed.use((bytes) => ed25519.getPublicKey(bytes))
  return {
    publicKeyId: formatPublicKeyId({ kind: 'ed25519', key }),
    sign: ({ message }) => seed.use((bytes) => ed25519.sign(message, bytes)),
  }
}
