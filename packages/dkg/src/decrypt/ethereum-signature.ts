import { secp256k1 } from '@noble/curves/secp256k1.js'
import { keccak_256 } from '@noble/hashes/sha3.js'

/** r || s || v. */
export const ETHEREUM_SIGNATURE_BYTES = 65

const SIGNATURE_V = [27, 28]

/**
 * The address whose key signed a digest; undefined where the signature is none. One signature per digest, key and nonce: s in the lower
 * half, v 27 or 28 (never 0 or 1, nor with a chain id in it).
 * @param digest 32 bytes @returns 20 bytes. Never throws.
 */
export function recoverEthereumAddress(digest: Uint8Array, signature: Uint8Array): Uint8Array | undefined {
  const recovery = SIGNATURE_V.indexOf(signature[64] ?? 0)
  if (digest.length !== 32 || signature.length !== ETHEREUM_SIGNATURE_BYTES || recovery < 0) return undefined
  try {
    const rs = secp256k1.Signature.fromBytes(signature.slice(0, 64), 'compact')
    if (rs.hasHighS()) return undefined
    return ethereumAddress(rs.addRecoveryBit(recovery).recoverPublicKey(digest).toBytes(false))
  } catch {
    // noble throws on scalars out of range and on an r that is no point: all of them mean "not a signature".
    return undefined
  }
}

/** @param publicKey 65 bytes, uncompressed @returns 20 bytes */
export const ethereumAddress = (publicKey: Uint8Array): Uint8Array => keccak_256(publicKey.slice(1)).slice(12)
