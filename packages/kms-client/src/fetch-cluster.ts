import { bytesKey, type Cluster, equalBytes, parseCluster } from '@tkms/dkg'
import { clientError, isKmsError } from './errors.ts'
import { parseHex } from './hex.ts'
import { type HttpExchange, parseJsonReply } from './transport/exchange.ts'

/** A cluster file on a server: only the pin makes it trustworthy, whoever serves it. */
export interface RemoteCluster {
  readonly url: string
  /** 32 bytes, or "0x" and their hex. */
  readonly configHash: Uint8Array | string
  /** SHA-256 of the server's TLS key, where it is known; only Node checks it. */
  readonly tlsSpkiSha256?: Uint8Array
}

/** 300 certificates of the largest committee in hex, or a full file of committees of ten. */
const MAX_CLUSTER_FILE_BYTES = 16 * 1024 * 1024

/**
 * Fetches a cluster file and checks it against the pin; addresses and TLS keys in it are outside the pin and only concern metadata.
 * @throws KmsError `cluster-unreachable`, `pin-mismatch`, `bad-cluster-file`
 */
export async function fetchCluster(
  source: RemoteCluster,
  options: { readonly exchange: HttpExchange; readonly signal: AbortSignal },
): Promise<Cluster> {
  const { url, tlsSpkiSha256 } = source
  const pin = tlsSpkiSha256 && { tlsSpkiSha256 }
  const reply = await options
    .exchange({ url, method: 'GET', signal: options.signal, maxReplyBytes: MAX_CLUSTER_FILE_BYTES, ...pin })
    .catch((cause: unknown) => {
      const why = isKmsError(cause) ? `: ${cause.message}` : ''
      throw clientError('cluster-unreachable', `the cluster file cannot be fetched${why}`, { cause, retryable: true })
    })
  if (reply.status !== 200)
    throw clientError('cluster-unreachable', `the cluster file is answered with HTTP status ${reply.status}`)
  return requirePin(parseCluster(parseJsonReply(reply.body)), source.configHash)
}

/** @throws KmsError `pin-mismatch` */
export function requirePin(cluster: Cluster, configHash: Uint8Array | string): Cluster {
  const pin = typeof configHash === 'string' ? parseHex(configHash, 32, 'configHash') : configHash
  if (!equalBytes(cluster.configHash, pin))
    throw clientError('pin-mismatch', 'the cluster file does not have the pinned config hash', {
      data: { pinned: bytesKey(pin), found: bytesKey(cluster.configHash) },
    })
  return cluster
}

/**
 * A cluster file's content as it is, or fetched from where `source` says.
 * @param options.configHash the pin of a content; a fetched file has its own
 * @throws KmsError as `fetchCluster`
 */
export async function loadCluster(
  source: unknown,
  options: {
    readonly configHash: Uint8Array | string | undefined
    readonly exchange: HttpExchange
    readonly signal: AbortSignal
  },
): Promise<Cluster> {
  if (isRemote(source)) return fetchCluster(source, options)
  const cluster = parseCluster(source)
  return options.configHash === undefined ? cluster : requirePin(cluster, options.configHash)
}

const isRemote = (source: unknown): source is RemoteCluster =>
  typeof source === 'object' && source !== null && 'url' in source && 'configHash' in source
