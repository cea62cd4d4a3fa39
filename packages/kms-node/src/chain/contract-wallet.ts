import { concatBytes, hexToBytes } from '@noble/hashes/utils.js'
import { bytesKey, equalBytes, u32 } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { ChainReader } from './chain-reader.ts'

/** `isValidSignature(bytes32,bytes)`, which is also what a wallet answers when the signature is its own (ERC-1271). */
const MAGIC = hexToBytes('1626ba7e')
const WORD_BYTES = 32

export interface WalletSignature {
  readonly chainId: number
  /** The contract's address, 20 bytes. */
  readonly wallet: Uint8Array
  /** 32 bytes. */
  readonly digest: Uint8Array
  readonly signature: Uint8Array
}

/**
 * Whether a contract wallet takes the signature for its own, now (ERC-1271). A revert, and an address without a contract, are no.
 * @throws KmsError `chain-unavailable` when too few endpoints say either
 */
export async function verifyContractWallet(
  chains: ChainReader,
  { chainId, wallet, digest, signature }: WalletSignature,
  signal: AbortSignal,
): Promise<boolean> {
  const data = concatBytes(MAGIC, digest, word(u32(2 * WORD_BYTES)), word(u32(signature.length)), padded(signature))
  try {
    const answer = await chains.call({ chainId, to: `0x${bytesKey(wallet)}`, data, signal })
    return answer.length === WORD_BYTES && equalBytes(answer.subarray(0, MAGIC.length), MAGIC)
  } catch (error) {
    if (isKmsError(error) && error.code === 'chain-reverted') return false
    throw error
  }
}

function word(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(WORD_BYTES)
  out.set(bytes, WORD_BYTES - bytes.length)
  return out
}

function padded(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(Math.ceil(bytes.length / WORD_BYTES) * WORD_BYTES)
  out.set(bytes)
  return out
}
