import {
  bytesKey,
  type Cluster,
  type ClusterNode,
  type Curve,
  equalBytes,
  type KeyId,
  type ParticipantIndex,
  parseCluster,
  type PointBytes,
  verificationShare,
  verifyCertificate,
  type VerifiedKey,
  verifyEd25519,
} from '@tkms/dkg'
import { clientError } from './errors.ts'
import { parseHex } from './hex.ts'
import { type HttpExchange, parseJsonReply } from './transport/exchange.ts'

/** A cluster file on a server: only the pin makes it trustworthy, whoever serves it. */
export interface RemoteCluster {
  readonly url: string
  /** 32 bytes, or "0x" and their hex. */
  readonly configHash: Uint8Array | string
}

/** A cluster whose certificates all hold under its config hash. */
export interface TrustedCluster {
  readonly cluster: Cluster
  /** The ECIES keys among its certificates. */
  readonly keys: readonly VerifiedKey[]
  readonly nodes: readonly ClusterNode[]
  /**
   * A key by its keyId, or the newest generation and epoch of a key name.
   * @param selector 32 bytes, "0x" and 64 hex digits, or a name ("ecies/421614"); undefined: the only key there is
   * @throws KmsError `unknown-key`, `ambiguous-key`
   */
  key(selector: KeySelector | undefined): VerifiedKey
  /** Y_j, computed from the certificate and never taken from a node (protocol 6, step 5). */
  verificationShare(key: VerifiedKey, index: ParticipantIndex): PointBytes
}

export type KeySelector = string | Uint8Array

/** 128 certificates of the largest committee in hex. */
const MAX_CLUSTER_FILE_BYTES = 8 * 1024 * 1024

/**
 * Fetches a cluster file and checks it against the pin; addresses and TLS keys in it are outside the pin and only concern metadata.
 * @throws KmsError `cluster-unreachable`, `pin-mismatch`, `bad-cluster-file`
 */
export async function fetchCluster(
  source: RemoteCluster,
  options: { readonly exchange: HttpExchange; readonly signal: AbortSignal },
): Promise<Cluster> {
  const { url } = source
  const reply = await options
    .exchange({ url, method: 'GET', signal: options.signal, maxReplyBytes: MAX_CLUSTER_FILE_BYTES })
    .catch((cause: unknown) => {
      throw clientError('cluster-unreachable', 'the cluster file cannot be fetched', { cause, retryable: true })
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
 * Verifies every certificate of the cluster file under its config hash.
 * @throws KmsError `bad-certificate`, `unsupported`
 */
export function trustCluster(curve: Curve, cluster: Cluster): TrustedCluster {
  const pin = { configHash: cluster.configHash }
  const keys = cluster.certificates.map((certificate) => verifyCertificate(curve, verifyEd25519, certificate, pin))
  return trustKeys(curve, cluster, keys)
}

/** The same from keys that were verified already. */
function trustKeys(curve: Curve, cluster: Cluster, verified: readonly VerifiedKey[]): TrustedCluster {
  const keys = verified.filter((key) => key.purpose === 'ecies-dec')
  const shares = new Map<string, PointBytes>()
  return {
    cluster,
    keys,
    nodes: cluster.nodes,
    key: (selector) => selectKey(keys, selector),
    verificationShare(key, index) {
      const name = `${bytesKey(key.sharingId)}/${index}`
      const share = shares.get(name) ?? verificationShare(curve, key.commitment, index)
      shares.set(name, share)
      return share
    },
  }
}

const KEY_ID_HEX = /^0x[0-9a-fA-F]{64}$/

function selectKey(keys: readonly VerifiedKey[], selector: KeySelector | undefined): VerifiedKey {
  const byName = typeof selector === 'string' && !KEY_ID_HEX.test(selector)
  const candidates = byName ? keys.filter((key) => key.keyName === selector) : keysById(keys, selector)
  const newest = candidates.toSorted((left, right) => right.generation - left.generation || right.epoch - left.epoch)[0]
  if (newest === undefined)
    throw clientError(
      'unknown-key',
      'the cluster file has no certificate of this key: take the cluster.json of a node that has made it',
    )
  if (selector === undefined && candidates.some((key) => key.keyName !== newest.keyName))
    throw clientError('ambiguous-key', 'the cluster has several keys: name one', {
      data: { keys: [...new Set(keys.map((key) => key.keyName))] },
    })
  return newest
}

function keysById(keys: readonly VerifiedKey[], selector: KeySelector | undefined): readonly VerifiedKey[] {
  if (selector === undefined) return keys
  const keyId: Uint8Array | KeyId = typeof selector === 'string' ? parseHex(selector, 32, 'key') : selector
  return keys.filter((key) => equalBytes(key.keyId, keyId))
}
