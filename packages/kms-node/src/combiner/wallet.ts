import { secp256k1 } from '@noble/curves/secp256k1.js'
import { hexToBytes } from '@noble/hashes/utils.js'
import { ethereumAddress, KmsError, Secret, type TypedData, typedDataDigest } from '@tkms/dkg'

/** Signs the answers. */
export interface Wallet {
  /** 20 bytes. */
  readonly address: Uint8Array
  /** EIP-712: r || s || v, 65 bytes, v 27 or 28, s in the lower half, the nonce of RFC 6979. */
  sign(data: TypedData): Uint8Array
  destroy(): void
}

const badKey = (cause?: unknown): KmsError =>
  new KmsError(
    'bad-wallet-key',
    'the wallet key must be 64 hex digits of a secp256k1 private key, 0x before them or not',
    {
      cause,
    },
  )

/** @param text 64 hex digits, with or without 0x, spaces around them. @throws KmsError `bad-wallet-key` */
export function parseWalletKey(text: string): Secret {
  const digits = /^\s*(?:0x)?([0-9a-fA-F]{64})\s*$/.exec(text)?.[1]
  if (digits === undefined) throw badKey()
  return new Secret(hexToBytes(digits))
}

/** A wallet that keeps its key as a secret and takes it over. @throws KmsError `bad-wallet-key` */
export function createWallet(key: Secret): Wallet {
  let address: Uint8Array
  try {
    address = key.use((bytes) => ethereumAddress(secp256k1.getPublicKey(bytes, false)))
  } catch (cause) {
    throw badKey(cause)
  }
  return {
    address,
    sign(data) {
      const digest = typedDataDigest(data)
      const [recovery = 0, ...rs] = key.use((bytes) =>
        secp256k1.sign(digest, bytes, { prehash: false, lowS: true, format: 'recovered' }),
      )
      return Uint8Array.of(...rs, 27 + recovery)
    },
    destroy: () => key.destroy(),
  }
}
