import {
  equalBytes,
  ETHEREUM_SIGNATURE_BYTES,
  formatPublicKeyId,
  MAX_SIGNATURE_BYTES,
  recoverEthereumAddress,
  type TypedData,
  typedDataDigest,
} from '@tkms/dkg'
import { clientError } from './errors.ts'
import { parseHex } from './hex.ts'
import type { RequestSigner } from './signer.ts'

/** An Ethereum account that signs typed data (EIP-712): what viem, ethers and browser wallets give. */
export interface TypedDataWallet {
  /** "0x" and 40 hex digits in any case: of the account, or of the contract wallet it signs for. */
  readonly address: string
  /** Shows the data to its owner and signs it. @returns the signature, "0x" and hex */
  signTypedData(data: TypedData): Promise<string>
}

const HEX = /^0x(?:[0-9a-fA-F]{2})*$/

/**
 * A signer over a wallet. Without `sessions`, the wallet's owner is asked for every request.
 * @throws KmsError `bad-argument` for no address; from `sign`, for a signature that is no hex or too long, and what the wallet itself throws
 * @example
 * const signer = createEip712Signer({ address, signTypedData: (data) => walletClient.signTypedData({ account, ...data }) })
 */
export function createEip712Signer(wallet: TypedDataWallet): RequestSigner {
  const address = parseHex(wallet.address.toLowerCase(), 20, 'address')
  return {
    publicKeyId: formatPublicKeyId({ kind: 'eip712', address }),
    async sign({ typedData }) {
      const text = await wallet.signTypedData(typedData)
      if (!HEX.test(text) || text.length > 2 + 2 * MAX_SIGNATURE_BYTES)
        throw clientError('bad-argument', 'the wallet gave no signature in hex, or one that is too long')
      const signature = parseHex(text.toLowerCase(), (text.length - 2) / 2, 'signature')
      return withNodesV(signature, address, typedData)
    },
  }
}

/** Some hardware wallets say 0 or 1 where nodes take 27 and 28 only. What a contract wallet gives may end like that and mean something else. */
function withNodesV(signature: Uint8Array, address: Uint8Array, data: TypedData): Uint8Array {
  const last = ETHEREUM_SIGNATURE_BYTES - 1
  const v = signature[last] ?? 0
  if (signature.length !== ETHEREUM_SIGNATURE_BYTES || v > 1) return signature
  const changed = signature.with(last, v + 27)
  const signer = recoverEthereumAddress(typedDataDigest(data), changed)
  return signer !== undefined && equalBytes(signer, address) ? changed : signature
}
