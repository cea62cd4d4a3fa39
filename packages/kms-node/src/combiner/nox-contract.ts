import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { attempt, type Curve, decodePoint, KmsError, type PointBytes } from '@tkms/dkg'
import { decodeAbiParameters } from 'viem/utils'
import type { ChainReader } from '../chain/chain-reader.ts'
import { createGatewayReader } from '../chain/nox-gateway.ts'
import { isKmsError } from '../errors.ts'
import type { Log } from '../ops/log.ts'

/** `kmsPublicKey()`. */
const KMS_PUBLIC_KEY = hexToBytes('ac6c544f')
/** A change of the contract is seen within this time; the single-key service had to be started again. */
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

/** Whether everybody is still told to encrypt to the key that was found at the start. */
export interface KmsPublicKeyWatch {
  /** The key as it was at the start. */
  readonly key: PointBytes
  /** @throws KmsError `key-mismatch` while the contract has another one */
  require(): void
  stop(): void
}

/**
 * Reads `kmsPublicKey()` now and every minute. Once the contract has another key nothing is answered until it has the first one again:
 * what is encrypted from then on would be opened with the wrong key. A chain that is away later changes nothing.
 * @throws as `readKmsPublicKey`
 */
export async function watchKmsPublicKey(
  chains: ChainReader,
  curve: Curve,
  contract: NoxContract,
  { log, refreshMs = REFRESH_MS }: { readonly log: Log; readonly refreshMs?: number | undefined },
): Promise<KmsPublicKeyWatch> {
  const { chainId, address } = contract
  const read = (): Promise<PointBytes> => readKmsPublicKey(chains, curve, contract)
  const key = await read()
  const first = bytesToHex(key)
  /** In hex. */
  let last = first
  const see = (now: string): void => {
    if (now === last) return
    last = now
    if (now === first) log.info({ chainId, kmsPublicKey: now }, 'kms-public-key-back')
    else log.error({ chainId, kmsPublicKey: now, served: first }, 'kms-public-key-changed')
  }
  const timer = setInterval(() => {
    read().then(
      (now) => see(bytesToHex(now)),
      (cause: unknown) => {
        if (isKmsError(cause) && cause.code === 'no-kms-public-key') see('none')
        else log.error({ chainId, cause }, 'kms-public-key-not-read')
      },
    )
  }, refreshMs).unref()
  return {
    key,
    require() {
      if (last !== first)
        throw new KmsError(
          'key-mismatch',
          `kmsPublicKey() of ${address} on chain ${chainId} is ${last}, and was ${first} when this combiner started: it answers nothing until that is so again, or it is started again`,
          { data: { chainId, contract: address } },
        )
    },
    stop: () => clearInterval(timer),
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
export async function watchGateway(
  chains: ChainReader,
  contract: NoxContract,
  log: Log,
  refreshMs: number = REFRESH_MS,
): Promise<GatewayWatch> {
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
  }, refreshMs).unref()
  return { current: () => gateway, stop: () => clearInterval(timer) }
}
