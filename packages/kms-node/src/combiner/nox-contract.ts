import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { attempt, type Curve, decodePoint, KmsError, type PointBytes } from '@tkms/dkg'
import { decodeAbiParameters } from 'viem/utils'
import type { ChainReader } from '../chain/chain-reader.ts'
import { createGatewayReader } from '../chain/nox-gateway.ts'
import type { Log } from '../ops/log.ts'

/** `kmsPublicKey()`. */
const KMS_PUBLIC_KEY = hexToBytes('ac6c544f')
/** A change of the gateway is seen within this time; the single-key service had to be started again. */
const REFRESH_MS = 60_000

export interface NoxContract {
  readonly chainId: number
  /** NoxCompute. */
  readonly address: `0x${string}`
}

/**
 * The public key that the contract tells everybody to encrypt to.
 * @throws KmsError `no-kms-public-key` when it is no point; `chain-unavailable`, `chain-reverted`
 */
export async function readKmsPublicKey(
  chains: ChainReader,
  curve: Curve,
  { chainId, address }: NoxContract,
): Promise<PointBytes> {
  const { signal } = new AbortController()
  const answer = await chains.call({ chainId, to: address, data: KMS_PUBLIC_KEY, signal })
  const key = decodeBytes(answer)
  const point = key && attempt(() => decodePoint(curve, key))
  if (point !== undefined) return point
  throw new KmsError('no-kms-public-key', `kmsPublicKey() of ${address} on chain ${chainId} is no secp256k1 point`, {
    data: { chainId, contract: address },
  })
}

function decodeBytes(answer: Uint8Array): Uint8Array | undefined {
  try {
    const [value] = decodeAbiParameters([{ type: 'bytes' }], `0x${bytesToHex(answer)}`)
    return hexToBytes(value.slice(2))
  } catch {
    // viem throws on everything that is not one ABI value of bytes.
    return undefined
  }
}

/** The gateway's wallet, kept up to date. */
export interface GatewayWatch {
  /** 20 bytes, as last read. */
  current(): Uint8Array
  stop(): void
}

/**
 * Reads `gateway()` now and every minute. A chain that is away later changes nothing: the nodes decide by what they read themselves.
 * @throws KmsError `no-gateway` when there is none, `chain-unavailable`
 */
export async function watchGateway(chains: ChainReader, contract: NoxContract, log: Log): Promise<GatewayWatch> {
  const { chainId, address } = contract
  const read = async (): Promise<Uint8Array> => {
    const gateway = await createGatewayReader(chains, { chainId, contract: address })(0)
    if (gateway !== undefined) return gateway
    throw new KmsError('no-gateway', `gateway() of ${address} on chain ${chainId} names no wallet`, {
      data: { chainId, contract: address },
    })
  }
  let gateway = await read()
  const timer = setInterval(() => {
    read().then(
      (now) => {
        if (bytesToHex(now) !== bytesToHex(gateway)) log.warn({ chainId, gateway: bytesToHex(now) }, 'gateway-changed')
        gateway = now
      },
      (cause: unknown) => log.error({ chainId, cause }, 'gateway-not-read'),
    )
  }, REFRESH_MS).unref()
  return { current: () => gateway, stop: () => clearInterval(timer) }
}
