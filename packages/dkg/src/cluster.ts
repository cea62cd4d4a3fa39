import { MAX_CERTIFICATE_BYTES } from './ceremony/certificate.ts'
import { type VerifiedKey, verifyCertificate } from './ceremony/verify-certificate.ts'
import { configHash, createConfig, MAX_MEMBERS, type CommitteeConfig } from './ceremony/config.ts'
import { formatHex, JsonFields, parseJson } from './decrypt/json.ts'
import { dkgError, KmsError } from './errors.ts'
import type { Curve } from './primitives/curve.ts'
import { decodeNodePublicKey, type VerifyMessage } from './primitives/ed25519.ts'
import { id32, participantIndex } from './primitives/point.ts'
import type { ClusterId, NodePublicKey, ParticipantIndex } from './primitives/types.ts'

/** One node as the cluster file names it: its identity, and where it can be reached. */
export interface ClusterNode {
  readonly index: ParticipantIndex
  /** 1..64 of letters, digits, ". _ -". */
  readonly name: string
  readonly publicKey: NodePublicKey
  /** At most 16 strings of at most 256 ASCII characters, each starting with "/". Not checked further. */
  readonly multiaddrs: readonly string[]
  /** "https://host:port", or "http://" on loopback. */
  readonly url: string
  /** SHA-256 of the TLS key's SPKI, 32 bytes; absent only where `url` is plain HTTP on loopback. */
  readonly tlsSpkiSha256?: Uint8Array
}

/** All that a client or a new node needs; public (interfaces 1). */
export interface Cluster {
  readonly config: CommitteeConfig
  /** What gets pinned, 32 bytes. Addresses and TLS keys are outside it and may change. */
  readonly configHash: Uint8Array
  /** Ascending by index. */
  readonly nodes: readonly ClusterNode[]
  /** CERTs of the cluster's keys, not yet verified: `clusterKeys`. */
  readonly certificates: readonly Uint8Array[]
}

export interface ClusterNodeJson {
  readonly index: number
  readonly name: string
  readonly ed25519: string
  readonly multiaddrs: readonly string[]
  readonly url: string
  readonly tlsSpkiSha256?: string
}

/** The cluster file. */
export interface ClusterJson {
  readonly version: 1
  readonly clusterId: string
  readonly threshold: number
  readonly nodes: readonly ClusterNodeJson[]
  readonly certificates: readonly string[]
}

const MAX_MULTIADDRS = 16
const MAX_CERTIFICATES = 256

const HOST = String.raw`(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)`
const LOOPBACK = String.raw`(?:127(?:\.[0-9]{1,3}){3}|localhost|\[::1\])`

const NAME = {
  pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
  maxLength: 64,
  rule: '1 to 64 letters, digits, ".", "_" or "-", the first a letter or digit',
}
const MULTIADDR = {
  pattern: /^\/[!-~]*$/,
  maxLength: 256,
  rule: 'at most 256 printable ASCII characters, the first "/"',
}
const URL = {
  pattern: new RegExp(`^(?:https://${HOST}|http://${LOOPBACK})(?::[0-9]{1,5})?$`),
  maxLength: 512,
  rule: '"https://host:port", or "http://" on loopback',
}
const FIXED_32 = { min: 32, max: 32 }

interface Draft {
  readonly clusterId: ClusterId
  readonly t: number
  readonly nodes: readonly ClusterNode[]
  readonly certificates: readonly Uint8Array[]
}

/**
 * Reads a cluster file. Unknown fields are refused, and every problem is named with its path.
 * The file is trusted as given: whoever fetched it compares `configHash` with the pin.
 * @throws KmsError `bad-cluster-file`, `data.problems` lists them
 */
export function parseCluster(value: unknown): Cluster {
  const draft = parseJson('bad-cluster-file', 'the cluster file', value, readDraft)
  const nodes = draft.nodes.toSorted((left, right) => left.index - right.index)
  const members = nodes.map(({ index, publicKey }) => ({ index, publicKey }))
  try {
    const config = createConfig({ clusterId: draft.clusterId, t: draft.t, members })
    return { config, configHash: configHash(config), nodes, certificates: draft.certificates }
  } catch (cause) {
    if (!(cause instanceof KmsError)) throw cause
    throw dkgError('bad-cluster-file', `the cluster file is refused: ${cause.message}`, {
      cause,
      data: { problems: [cause.message] },
    })
  }
}

/**
 * The keys of a cluster, each certificate verified against the cluster's own config hash.
 * @throws KmsError `bad-certificate` when one does not hold, `unsupported`
 */
export const clusterKeys = (curve: Curve, verify: VerifyMessage, cluster: Cluster): VerifiedKey[] =>
  cluster.certificates.map((bytes) => verifyCertificate(curve, verify, bytes, { configHash: cluster.configHash }))

/** One entry of a cluster file by the same rules. @throws KmsError `bad-cluster-file`, `data.problems` lists them */
export function parseClusterNode(value: unknown): ClusterNode {
  const node = parseJson('bad-cluster-file', 'the entry of a node', value, readNode)
  if (node === undefined) throw dkgError('bad-cluster-file', 'the entry of a node is refused')
  return node
}

/** The cluster file of a cluster, ready for JSON; `parseCluster` reads it back. */
export function formatCluster(cluster: Cluster): ClusterJson {
  return {
    version: 1,
    clusterId: formatHex(cluster.config.clusterId),
    threshold: cluster.config.t,
    nodes: cluster.nodes.map(formatClusterNode),
    certificates: cluster.certificates.map(formatHex),
  }
}

/** One entry of a cluster file; `parseClusterNode` reads it back. */
export function formatClusterNode({
  index,
  name,
  publicKey,
  multiaddrs,
  url,
  tlsSpkiSha256,
}: ClusterNode): ClusterNodeJson {
  return {
    index,
    name,
    ed25519: formatHex(publicKey),
    multiaddrs: [...multiaddrs],
    url,
    ...(tlsSpkiSha256 === undefined ? {} : { tlsSpkiSha256: formatHex(tlsSpkiSha256) }),
  }
}

function readDraft(fields: JsonFields, problems: string[]): Draft {
  fields.integer('version', 1, 1)
  const clusterId = id32(fields.hex('clusterId', FIXED_32), 'clusterId')
  const t = fields.integer('threshold', 2, MAX_MEMBERS - 1)
  const nodes = fields
    .list('nodes', 3, MAX_MEMBERS, (entry, path) => readNode(new JsonFields(entry, path, problems)))
    .filter((node) => node !== undefined)
  const certificates = fields.hexList('certificates', MAX_CERTIFICATES, { min: 1, max: MAX_CERTIFICATE_BYTES })
  for (const field of ['index', 'name', 'url'] as const)
    if (new Set(nodes.map((node) => node[field])).size !== nodes.length)
      fields.problem('nodes', `name one ${field} twice`)
  return { clusterId, t, nodes, certificates }
}

function readNode(fields: JsonFields): ClusterNode | undefined {
  const index = participantIndex(fields.integer('index', 1, 0xffff))
  const name = fields.text('name', NAME)
  const key = fields.hex('ed25519', FIXED_32)
  const publicKey = fields.parsed('ed25519', () => decodeNodePublicKey(key))
  const multiaddrs = fields.textList('multiaddrs', MAX_MULTIADDRS, MULTIADDR)
  const url = fields.text('url', URL)
  const pinned = fields.has('tlsSpkiSha256')
  if (!pinned && !url.startsWith('http://')) fields.problem('tlsSpkiSha256', 'must be given with an https URL')
  const tlsSpkiSha256 = pinned ? fields.hex('tlsSpkiSha256', FIXED_32) : undefined
  fields.end()
  if (publicKey === undefined) return undefined
  return { index, name, publicKey, multiaddrs, url, ...(tlsSpkiSha256 === undefined ? {} : { tlsSpkiSha256 }) }
}
