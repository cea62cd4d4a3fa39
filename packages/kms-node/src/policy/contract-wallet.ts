import { bytesToHex, concatBytes, hexToBytes } from '@noble/hashes/utils.js'
import { equalBytes } from '@tkms/dkg'
import { type ChainReader, createChainReader } from '../chain/chain-reader.ts'
import type { NodeConfig } from '../config/types.ts'
import { isKmsError } from '../errors.ts'

/** isValidSignature(bytes32,bytes) of ERC-1271: its selector, which it also returns for yes. */
const MAGIC = hexToBytes('1626ba7e')
const WORD = 32

/** What only a chain can tell of a signature. */
export interface ContractWallets {
  /**
   * Whether the contract at an address says that a signature over a digest is its own (ERC-1271).
   * @param question.address 20 bytes @param question.digest 32 bytes
   * @throws KmsError `chain-unavailable`
   */
  accepts(question: {
    readonly address: Uint8Array
    readonly digest: Uint8Array
    readonly signature: Uint8Array
    readonly signal: AbortSignal
  }): Promise<boolean>
}

/** Contract wallets of one chain. A contract that reverts, or that is none, accepts nothing. */
export function createContractWallets(chain: Pick<ChainReader, 'call'>, chainId: number): ContractWallets {
  return {
    async accepts({ address, digest, signature, signal }) {
      const to = `0x${bytesToHex(address)}` as const
      const data = encodeCall(digest, signature)
      try {
        const result = await chain.call({ chainId, to, data, signal })
        return equalBytes(result, concatBytes(MAGIC, new Uint8Array(WORD - MAGIC.length)))
      } catch (error) {
        if (isKmsError(error) && error.code === 'chain-reverted') return false
        throw error
      }
    },
  }
}

/** As node.yaml says. Read through a reader of their own: whoever makes up signatures of contracts keeps no rule from its chain. */
export async function openContractWallets({
  chains,
  erc1271,
}: Pick<NodeConfig, 'chains' | 'erc1271'>): Promise<ContractWallets | undefined> {
  const chain = erc1271 === undefined ? undefined : chains[erc1271.chain]
  if (erc1271 === undefined || chain === undefined) return undefined
  return createContractWallets(await createChainReader({ [erc1271.chain]: chain }), erc1271.chain)
}

/** Selector || digest || offset of the bytes || their length || the bytes, padded to words. */
function encodeCall(digest: Uint8Array, signature: Uint8Array): Uint8Array {
  const padding = new Uint8Array((WORD - (signature.length % WORD)) % WORD)
  return concatBytes(MAGIC, digest, word(2 * WORD), word(signature.length), signature, padding)
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(WORD)
  new DataView(bytes.buffer).setUint32(WORD - 4, value)
  return bytes
}
