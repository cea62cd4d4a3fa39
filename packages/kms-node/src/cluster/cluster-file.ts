import { join } from 'node:path'
import {
  bytesKey,
  type Cluster,
  type ClusterNode,
  equalBytes,
  formatCluster,
  KmsError,
  MAX_CERTIFICATE_BYTES,
  type NodePublicKey,
  parseCluster,
  Reader,
  Secret,
  taggedHash,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import { readBounded, replaceFile } from '../files.ts'
import type { RecordStore } from '../ports.ts'

const MAX_CLUSTER_FILE_BYTES = 64 * 1024 * 1024
const PIN = 'cluster'

const hex = (bytes: Uint8Array): string => `0x${bytesKey(bytes)}`

export const clusterPath = (dataDir: string): string => join(dataDir, 'cluster.json')

/** @throws KmsError `bad-cluster-file` with every problem named, also when the file is missing or no JSON */
export async function readClusterFile(path: string): Promise<Cluster> {
  const bytes = await readBounded(path, MAX_CLUSTER_FILE_BYTES)
  if (bytes === undefined) throw new KmsError('bad-cluster-file', `${path} does not exist`, { data: { path } })
  return parseCluster(parseJson(bytes, path))
}

function parseJson(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new KmsError('bad-cluster-file', `${path} is not JSON`, { cause, data: { path } })
  }
}

export const writeClusterFile = (path: string, cluster: Cluster): Promise<void> =>
  replaceFile(path, `${JSON.stringify(formatCluster(cluster), undefined, 2)}\n`, 0o644)

/** Never over another one: its cluster id would be lost. @throws KmsError `output-exists`, `cannot-write` */
export async function writeNewClusterFile(path: string, cluster: Cluster): Promise<void> {
  if ((await readBounded(path, MAX_CLUSTER_FILE_BYTES).catch(() => true)) !== undefined)
    throw new KmsError('output-exists', `${path} exists: choose another name`, { data: { path } })
  await replaceClusterFile(path, cluster)
}

/** In place of the file that is there. @throws KmsError `cannot-write` */
export async function replaceClusterFile(path: string, cluster: Cluster): Promise<void> {
  try {
    await writeClusterFile(path, cluster)
  } catch (cause) {
    throw new KmsError('cannot-write', `${path} cannot be written`, { cause, data: { path } })
  }
}

/** The sharingId that a certificate is about, 32 bytes: the hash of its outcome (protocol R4, 6). Nothing is verified. */
export function certifiedSharing(certificate: Uint8Array): Uint8Array {
  const reader = new Reader(certificate)
  reader.var(MAX_CERTIFICATE_BYTES, 'CERT.X')
  return taggedHash('outcome', reader.var(MAX_CERTIFICATE_BYTES, 'CERT.OUT'))
}

/** The same cluster with one more certificate; itself when that sharing has one already. */
export function withCertificate(cluster: Cluster, certificate: Uint8Array): Cluster {
  const added = certifiedSharing(certificate)
  if (cluster.certificates.some((known) => equalBytes(certifiedSharing(known), added))) return cluster
  return { ...cluster, certificates: [...cluster.certificates, certificate] }
}

/** This node's entry. @throws KmsError `not-in-cluster` */
export function ownEntry(cluster: Cluster, publicKey: NodePublicKey): ClusterNode {
  const entry = cluster.nodes.find((node) => equalBytes(node.publicKey, publicKey))
  if (entry === undefined)
    throw new KmsError(
      'not-in-cluster',
      'the cluster file does not name the identity of this node: was it made with the card.json of this data directory?',
    )
  return entry
}

/** Pins the committee for life, sealed. @throws KmsError `cluster-pinned` when another one is pinned */
export async function pinCluster(store: RecordStore, cluster: Cluster): Promise<void> {
  const pinned = await readPin(store)
  if (pinned !== undefined && equalBytes(pinned, cluster.configHash)) return
  if (pinned !== undefined)
    throw new KmsError(
      'cluster-pinned',
      `this node joined the cluster of config hash ${hex(pinned)} for life: for another one, init another data directory`,
      { data: { pinned: hex(pinned) } },
    )
  const record = Secret.copyOf(cluster.configHash)
  await store.put('pin', PIN, record)
  record.destroy()
}

/** The cluster this node joined. @throws KmsError `cluster-not-joined`, `cluster-changed`, `bad-cluster-file` */
export async function readJoinedCluster(store: RecordStore, dataDir: string): Promise<Cluster> {
  const pinned = await readPin(store)
  if (pinned === undefined)
    throw new KmsError('cluster-not-joined', 'this node has not joined a cluster: run cluster join FILE first')
  const path = clusterPath(dataDir)
  const cluster = await readClusterFile(path).catch((cause: unknown) => {
    if (!isKmsError(cause)) throw cause
    const remedy = `take the cluster.json of another node, config hash ${hex(pinned)}: cluster join FILE --data-dir ${dataDir}`
    throw new KmsError(cause.code, `${cause.message}; ${remedy}`, { cause, data: cause.data })
  })
  if (equalBytes(pinned, cluster.configHash)) return cluster
  throw new KmsError(
    'cluster-changed',
    `${path} is not the cluster that this node joined: run cluster join with the file of config hash ${hex(pinned)}`,
    { data: { pinned: hex(pinned) } },
  )
}

/** The pinned config hash, 32 bytes. */
async function readPin(store: RecordStore): Promise<Uint8Array | undefined> {
  const record = await store.get('pin', PIN)
  const pin = record?.use((bytes) => Uint8Array.from(bytes))
  record?.destroy()
  return pin
}
