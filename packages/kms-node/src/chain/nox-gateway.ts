import { hexToBytes } from '@noble/hashes/utils.js'
import { isKmsError } from '../errors.ts'
import type { ChainReader } from './chain-reader.ts'

/** `gateway()`. */
const SELECTOR = hexToBytes('116191b6')
/** What was read counts for this long, so that a change of the gateway takes at most as long to be seen. */
const CACHE_SECONDS = 60
const WORD_BYTES = 32
const ADDRESS_BYTES = 20

/** @returns the address of the gateway's wallet, 20 bytes; undefined when the contract names none. @throws KmsError `chain-unavailable` */
export type GatewayReader = (nowSeconds: number) => Promise<Uint8Array | undefined>

/** Reads `gateway()` of a NoxCompute contract, one read for everybody who asks meanwhile. Failures are not remembered. */
export function createGatewayReader(
  chains: ChainReader,
  place: { readonly chainId: number; readonly contract: `0x${string}` },
): GatewayReader {
  let last: { readonly atSeconds: number; readonly gateway: Promise<Uint8Array | undefined> } | undefined

  const read = async (): Promise<Uint8Array | undefined> => {
    // Nobody's leaving ends it: others may wait for the same read, and the chain's own timeout bounds it.
    const { signal } = new AbortController()
    try {
      return decodeAddress(await chains.call({ chainId: place.chainId, to: place.contract, data: SELECTOR, signal }))
    } catch (error) {
      if (isKmsError(error) && error.code === 'chain-reverted') return undefined
      throw error
    }
  }

  return (nowSeconds) => {
    const fresh = last !== undefined && nowSeconds >= last.atSeconds && nowSeconds < last.atSeconds + CACHE_SECONDS
    if (fresh && last !== undefined) return last.gateway
    const entry = { atSeconds: nowSeconds, gateway: read() }
    last = entry
    void entry.gateway.catch(() => {
      if (last === entry) last = undefined
    })
    return entry.gateway
  }
}

function decodeAddress(word: Uint8Array): Uint8Array | undefined {
  const address = word.subarray(WORD_BYTES - ADDRESS_BYTES)
  const padding = word.subarray(0, WORD_BYTES - ADDRESS_BYTES)
  if (word.length !== WORD_BYTES || padding.some((byte) => byte !== 0)) return undefined
  return address.some((byte) => byte !== 0) ? address : undefined
}
