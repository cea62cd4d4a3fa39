import { readFile } from 'node:fs/promises'
import { bytesToHex } from '@noble/hashes/utils.js'
import { type Curve, equalBytes, type KeyId, KmsError, type Secret } from '@tkms/dkg'
import {
  type HttpExchange,
  type KmsClient,
  type NodeFailure,
  type RequestSigner,
  type Transport,
} from '@tkms/kms-client'
import { createNodeKmsClient, libp2p, nodeCurve, pinnedHttp } from '@tkms/kms-client/node'
import { type ChainReader, createChainReader } from '../chain/chain-reader.ts'
import type { Log } from '../ops/log.ts'
import { createRsaPolicy } from '../serve/rsa-policy.ts'
import { createWorkQueue } from '../serve/work-queue.ts'
import { type Stop, stopAll } from '../stop-all.ts'
import { systemClock } from '../system.ts'
import type { CombinerConfig } from './config.ts'
import { createDelegateHandler, formatAddress, type ServedChain } from './delegate.ts'
import { watchGateway, watchKmsPublicKey } from './nox-contract.ts'
import { createRenewingKey } from './renewing-key.ts'
import { createCombinerServer } from './server.ts'
import type { Wallet } from './wallet.ts'

const RSA_KEYS_REMEMBERED = 4096

export interface CombinerParams {
  readonly config: CombinerConfig
  /** Who the nodes see. */
  readonly signer: RequestSigner
  readonly wallet: Wallet
  readonly log: Log
  /** Of the nodes' answers; default: as `config.transport` says. */
  readonly transport?: Transport
  /** Of cluster files, when the committee moves on; default: as the client of Node has it. */
  readonly exchange?: HttpExchange
  /** How often the contracts are read again; default: a minute. */
  readonly refreshMs?: number
}

export interface Combiner {
  readonly url: string
  /** What was found out at the start, chain by chain. */
  readonly chains: readonly { readonly chainId: number; readonly keyName: string; readonly gateway: string }[]
  /** Idempotent. */
  stop(): Promise<void>
}

/**
 * Starts a combiner: opens the cluster, holds every chain's contract against it, then listens.
 * @throws KmsError `key-mismatch`, `no-gateway`, `no-kms-public-key`, `chain-unavailable`, `http-listen`, `cannot-read`; as `createKmsClient`
 */
export async function startCombiner(params: CombinerParams): Promise<Combiner> {
  const { config, wallet, log } = params
  const stops: Stop[] = []
  const stop = (): Promise<void> => stopAll(stops.splice(0), log)
  try {
    const { curve } = nodeCurve()
    const client = await openCluster(params, curve, stops)
    const reader = await createChainReader(config.chains)
    const served = await Promise.all(
      Object.entries(config.chains).map(([id, { contract, keyName = `ecies/${id}` }]) =>
        serveChain(
          { client, curve, reader, log, stops, refreshMs: params.refreshMs },
          { chainId: Number(id), contract, keyName },
        ),
      ),
    )
    const { limits } = config
    const server = createCombinerServer({
      ...config.server,
      ...limits,
      clock: systemClock,
      onError: (cause) => log.error({ cause }, 'request-failed'),
      delegate: createDelegateHandler({
        chains: new Map(served.map((chain) => [chain.chainId, chain])),
        wallet,
        curve,
        rsa: createRsaPolicy({ maxEntries: RSA_KEYS_REMEMBERED }),
        queue: createWorkQueue({ maxRunning: limits.maxRequestsInFlight, maxWaiting: limits.maxRequestsQueued }),
        onFailure: (cause, chainId) => log.error({ chainId, cause }, 'cluster-gave-nothing'),
      }),
    })
    await server.start()
    stops.push(() => server.stop())
    const chains = served.map((chain) => ({
      chainId: chain.chainId,
      keyName: chain.keyName,
      gateway: formatAddress(chain.gateway()),
    }))
    log.info({ url: server.url, chains, wallet: formatAddress(wallet.address) }, 'combiner-ready')
    return { url: server.url, chains, stop }
  } catch (cause) {
    await stop()
    throw cause
  }
}

async function openCluster(
  { config, signer, log, transport, exchange }: CombinerParams,
  curve: Curve,
  stops: Stop[],
): Promise<KmsClient> {
  const { limits, configHash } = config
  const requesterKey = await createRenewingKey()
  const timer = setInterval(() => {
    requesterKey.renew().catch((cause: unknown) => log.error({ cause }, 'key-not-renewed'))
  }, limits.renewKeyMs).unref()
  stops.push(() => clearInterval(timer))
  const client = await createNodeKmsClient({
    cluster: await readClusterJson(config.cluster),
    ...(configHash !== undefined && { configHash }),
    acceptedConfigHashes: config.acceptConfigHashes,
    curve,
    signer,
    requesterKey,
    transport: transport ?? (config.transport === 'libp2p' ? libp2p() : pinnedHttp()),
    ...(exchange && { exchange }),
    limits: { nodeTimeoutMs: limits.nodeTimeoutMs, totalTimeoutMs: limits.totalTimeoutMs },
    onNodeFailure: (failure) => logNodeFailure(log, failure),
  })
  stops.push(() => client.close())
  return client
}

async function readClusterJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as unknown
  } catch (cause) {
    throw new KmsError('cannot-read', `${file} cannot be read, or is not JSON: the cluster file should be there`, {
      cause,
    })
  }
}

function logNodeFailure(log: Log, failure: NodeFailure): void {
  if (failure.code === 'not-needed') return
  const { index, name, code, detail, evidence } = failure
  // Evidence is public, and convicts the node: whoever reads the log can hand it to `kms-node evidence verify`.
  log.warn({ index, node: name, code, detail, ...(evidence && { evidence: bytesToHex(evidence) }) }, 'node-failed')
}

/** The cluster's key of a chain. */
interface ChainKey {
  readonly chainId: number
  readonly contract: `0x${string}`
  readonly keyName: string
}

interface ChainPorts {
  readonly client: KmsClient
  readonly curve: Curve
  readonly reader: ChainReader
  readonly log: Log
  readonly stops: Stop[]
  readonly refreshMs: number | undefined
}

async function serveChain(
  { client, curve, reader, log, stops, refreshMs }: ChainPorts,
  { chainId, contract, keyName }: ChainKey,
): Promise<ServedChain & { readonly chainId: number; readonly keyName: string }> {
  const nox = { chainId, address: contract }
  const onChain = await watchKmsPublicKey(reader, curve, nox, { log, refreshMs })
  stops.push(() => onChain.stop())
  const key = await findKey(client, { chainId, keyName, groupKey: onChain.key })
  const gateway = await watchGateway(reader, nox, log, refreshMs)
  stops.push(() => gateway.stop())
  return {
    chainId,
    keyName,
    gateway: () => gateway.current(),
    async sharedSecret({ K, handle, grant, signal }): Promise<Secret> {
      onChain.require()
      const { point, x } = await client.delegate(K, { key, chainId, handle, grant, signal })
      point.destroy()
      return x
    },
  }
}

/** The generation of the name whose public key the contract has. @throws KmsError `key-mismatch` */
async function findKey(
  client: KmsClient,
  { chainId, keyName, groupKey }: { readonly chainId: number; readonly keyName: string; readonly groupKey: Uint8Array },
): Promise<KeyId> {
  const find = (): KeyId | undefined =>
    client.keys.find((key) => key.keyName === keyName && equalBytes(key.groupKey, groupKey))?.keyId
  const known = find()
  if (known !== undefined) return known
  await client.follow()
  const found = find()
  if (found !== undefined) return found
  const ours = client.keys.filter((key) => key.keyName === keyName).map((key) => `0x${bytesToHex(key.groupKey)}`)
  const has = ours.length === 0 ? 'the cluster has no such key' : `the cluster has ${ours.join(', ')}`
  throw new KmsError(
    'key-mismatch',
    `kmsPublicKey() on chain ${chainId} is 0x${bytesToHex(groupKey)}, which is no generation of ${keyName}: ${has}`,
    { data: { chainId, keyName } },
  )
}
