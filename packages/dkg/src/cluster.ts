import { MAX_CERTIFICATE_BYTES } from './ceremony/certificate.ts'
import { configHash, createConfig, MAX_MEMBERS, type CommitteeConfig, type Member } from './ceremony/config.ts'
import { formatHex, JsonFields, parseJson } from './decrypt/json.ts'
import { dkgError, KmsError } from './errors.ts'
import { bytesKey } from './primitives/codec.ts'
import { decodeNodePublicKey } from './primitives/ed25519.ts'
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
  /** u32: of two entries of one node the one with the higher revision counts. Absent is 0. */
  readonly revision?: number
}

/** All that a client or a new node needs; public (interfaces 1). */
export interface Cluster {
  /** The committee that the cluster began with. The committee of a key today is in the key's latest certificate: `clusterKeys`. */
  readonly config: CommitteeConfig
  /** Of `config`: what gets pinned, for the cluster's life. 32 bytes. Addresses and TLS keys are outside it and may change. */
  readonly configHash: Uint8Array
  /** The address book, ascending by index: members, later members, candidates. Former members may be missing. At most 256. */
  readonly nodes: readonly ClusterNode[]
  /** CERTs of the cluster's keys, genesis and successors, not yet verified: `clusterKeys`. At most 1024. */
  readonly certificates: readonly Uint8Array[]
}

export interface ClusterNodeJson {
  readonly index: number
  readonly name: string
  readonly ed25519: string
  readonly multiaddrs: readonly string[]
  readonly url: string
  readonly tlsSpkiSha256?: string
  /** u32, raised by whoever changes the entry; absent is 0. */
  readonly revision?: number
}

/** A member of the genesis committee in a cluster file. */
export interface GenesisMemberJson {
  readonly index: number
  readonly ed25519: string
}

/** The cluster file. */
export interface ClusterJson {
  readonly version: 1
  readonly clusterId: string
  /** Of the genesis committee. */
  readonly threshold: number
  /** The genesis committee, where it is not exactly the nodes. */
  readonly genesis?: readonly GenesisMemberJson[]
  readonly nodes: readonly ClusterNodeJson[]
  readonly certificates: readonly string[]
}

const MAX_MULTIADDRS = 16
/** Every committee of 64 may be replaced by 64 others while 128 candidates wait. */
export const MAX_CLUSTER_NODES = 256
/** A chain is as long as the key's changes of members, not as its refreshes (`addCertificate`): room for hundreds of keys. */
export const MAX_CLUSTER_CERTIFICATES = 1024

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
  readonly members: readonly Member[]
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
  const nodes = draft.nodes.toSorted(byIndex)
  try {
    const config = createConfig(draft)
    return { config, configHash: configHash(config), nodes, certificates: draft.certificates }
  } catch (cause) {
    if (!(cause instanceof KmsError)) throw cause
    throw dkgError('bad-cluster-file', `the cluster file is refused: ${cause.message}`, {
      cause,
      data: { problems: [cause.message] },
    })
  }
}

const byIndex = (left: Member, right: Member): number => left.index - right.index

/** Whether these are the same members: identities at the same indices. */
function sameMembers(left: readonly Member[], right: readonly Member[]): boolean {
  const [one, other] = [left, right].map((members) => members.toSorted(byIndex).map(memberKey))
  return one !== undefined && other !== undefined && one.join(' ') === other.join(' ')
}

const memberKey = ({ index, publicKey }: Member): string => `${index}:${bytesKey(publicKey)}`

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
    ...(!sameMembers(cluster.nodes, cluster.config.members) && {
      genesis: cluster.config.members.map(({ index, publicKey }) => ({ index, ed25519: formatHex(publicKey) })),
    }),
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
  revision = 0,
}: ClusterNode): ClusterNodeJson {
  return {
    index,
    name,
    ed25519: formatHex(publicKey),
    multiaddrs: [...multiaddrs],
    url,
    ...(tlsSpkiSha256 === undefined ? {} : { tlsSpkiSha256: formatHex(tlsSpkiSha256) }),
    ...(revision > 0 && { revision }),
  }
}

function readDraft(fields: JsonFields, problems: string[]): Draft {
  fields.integer('version', 1, 1)
  const clusterId = id32(fields.hex('clusterId', FIXED_32), 'clusterId')
  const t = fields.integer('threshold', 2, MAX_MEMBERS - 1)
  const genesis = fields.has('genesis')
  const [least, most] = genesis ? [1, MAX_CLUSTER_NODES] : [3, MAX_MEMBERS]
  const nodes = fields
    .list('nodes', least, most, (entry, path) => readNode(new JsonFields(entry, path, problems)))
    .filter((node) => node !== undefined)
  const certificates = fields.hexList('certificates', MAX_CLUSTER_CERTIFICATES, { min: 1, max: MAX_CERTIFICATE_BYTES })
  for (const field of ['index', 'name', 'url'] as const)
    for (const { index, name, [field]: value } of nodes.filter(
      (node, at) => nodes.findIndex((other) => other[field] === node[field]) < at,
    ))
      fields.problem(
        'nodes',
        `name one ${field} twice: ${value}, the second time for node ${index} (${name}); every node has its own`,
      )
  const members = genesis ? readGenesis(fields, problems) : nodes.map(({ index, publicKey }) => ({ index, publicKey }))
  if (genesis && !oneIdentityEach([...members, ...nodes]))
    fields.problem('nodes', 'give one index two identities, or one identity two indices')
  return { clusterId, t, members, nodes, certificates }
}

function readGenesis(fields: JsonFields, problems: string[]): Member[] {
  return fields
    .list('genesis', 3, MAX_MEMBERS, (entry, path) => {
      const member = new JsonFields(entry, path, problems)
      const read = readMember(member)
      member.end()
      return read
    })
    .filter((member) => member !== undefined)
}

function readMember(fields: JsonFields): Member | undefined {
  const index = participantIndex(fields.integer('index', 1, 0xffff))
  const key = fields.hex('ed25519', FIXED_32)
  const publicKey = fields.parsed('ed25519', () => decodeNodePublicKey(key))
  return publicKey && { index, publicKey }
}

/** Whether each index stands for one identity and each identity for one index, however often they occur. */
export function oneIdentityEach(members: readonly Member[]): boolean {
  const pairs = new Set(members.map(memberKey)).size
  const indices = new Set(members.map(({ index }) => index)).size
  const identities = new Set(members.map(({ publicKey }) => bytesKey(publicKey))).size
  return pairs === indices && pairs === identities
}

function readNode(fields: JsonFields): ClusterNode | undefined {
  const member = readMember(fields)
  const name = fields.text('name', NAME)
  const multiaddrs = fields.textList('multiaddrs', MAX_MULTIADDRS, MULTIADDR)
  const url = fields.text('url', URL)
  const pinned = fields.has('tlsSpkiSha256')
  if (!pinned && !url.startsWith('http://')) fields.problem('tlsSpkiSha256', 'must be given with an https URL')
  const tlsSpkiSha256 = pinned ? fields.hex('tlsSpkiSha256', FIXED_32) : undefined
  const revision = fields.has('revision') ? fields.integer('revision', 0, 0xffffffff) : 0
  fields.end()
  if (member === undefined) return undefined
  return {
    ...member,
    name,
    multiaddrs,
    url,
    ...(tlsSpkiSha256 === undefined ? {} : { tlsSpkiSha256 }),
    ...(revision > 0 && { revision }),
  }
}
