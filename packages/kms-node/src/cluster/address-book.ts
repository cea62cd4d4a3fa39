import {
  bytesKey,
  type Cluster,
  type ClusterNode,
  type CommitteeConfig,
  configHash,
  decodeSpec,
  equalBytes,
  formatClusterNode,
  KmsError,
  MAX_CERTIFICATE_BYTES,
  MAX_CLUSTER_NODES,
  type NodePublicKey,
  type ParticipantIndex,
  participantIndex,
  Reader,
} from '@tkms/dkg'
import type { NodeCard } from './node-card.ts'

/** What an edit of the address book did, by name. */
export interface BookChange {
  readonly cluster: Cluster
  readonly added: readonly string[]
  readonly changed: readonly string[]
}

/** The committees that a certificate names: the new one, and the old one of a resharing. Nothing is verified. */
export function certifiedCommittees(certificate: Uint8Array): readonly CommitteeConfig[] {
  const spec = decodeSpec(new Reader(certificate).var(MAX_CERTIFICATE_BYTES, 'CERT.X'))
  return 'oldConfig' in spec ? [spec.oldConfig, spec.newConfig] : [spec.newConfig]
}

/**
 * The config hashes that a node's own cluster file leads through: its operator accepted each of them when the node wrote it, a degraded
 * hand-over too. 32 bytes each.
 */
export const ownConfigHashes = (cluster: Cluster): readonly Uint8Array[] =>
  cluster.certificates.flatMap((certificate) => certifiedCommittees(certificate).slice(-1).map(configHash))

/** Every identity that has or had an index: in the address book, the genesis committee, or a committee of any certificate. */
function knownIdentities(cluster: Cluster): readonly { readonly index: number; readonly publicKey: NodePublicKey }[] {
  const committees = [cluster.config, ...cluster.certificates.flatMap(certifiedCommittees)]
  return [...cluster.nodes, ...committees.flatMap(({ members }) => members)]
}

/** One above every index that was ever given out: an index is never used again (protocol 3). @throws KmsError `no-index-left` */
export function nextIndex(cluster: Cluster): ParticipantIndex {
  const highest = Math.max(...knownIdentities(cluster).map(({ index }) => index))
  if (highest >= 0xffff)
    throw new KmsError('no-index-left', 'the indices of this cluster are used up: make a new cluster')
  return participantIndex(highest + 1)
}

/** The entry of a card at an index. */
export const nodeOfCard = (
  card: NodeCard & { readonly publicKey: NodePublicKey },
  index: ParticipantIndex,
): ClusterNode => ({
  index,
  name: card.name,
  publicKey: card.publicKey,
  multiaddrs: card.multiaddrs,
  url: card.url,
  ...(card.tlsSpkiSha256 !== undefined && {
    tlsSpkiSha256: Uint8Array.from(Buffer.from(card.tlsSpkiSha256.slice(2), 'hex')),
  }),
})

/**
 * These nodes as candidates, each under an index of its own. The genesis committee, and with it the config hash, stays.
 * @throws KmsError `already-in-cluster`, `name-taken`, `no-index-left`
 */
export function addCandidates(
  cluster: Cluster,
  cards: readonly (NodeCard & { readonly publicKey: NodePublicKey })[],
): Cluster {
  return cards.reduce((book, card) => {
    const known = knownIdentities(book).find(({ publicKey }) => equalBytes(publicKey, card.publicKey))
    if (known !== undefined)
      throw new KmsError(
        'already-in-cluster',
        `the node of the card ${card.name} has index ${known.index} in this cluster already: to bring it back propose a resharing that names it`,
        { data: { name: card.name, index: known.index } },
      )
    requireFree(book, card)
    return { ...book, nodes: [...book.nodes, nodeOfCard(card, nextIndex(book))] }
  }, cluster)
}

function requireFree(book: Cluster, card: { readonly name: string; readonly url: string }): void {
  const name = book.nodes.find((node) => node.name === card.name)
  if (name !== undefined)
    throw new KmsError(
      'name-taken',
      `node ${name.index} is called ${card.name} already: init the new node with another --name`,
      { data: { name: card.name, index: name.index } },
    )
  const url = book.nodes.find((node) => node.url === card.url)
  if (url !== undefined)
    throw new KmsError(
      'url-taken',
      `${card.url} belongs to ${url.name} already: init ${card.name} with its own address`,
      {
        data: { name: card.name, url: card.url },
      },
    )
}

/** Only the entries of this committee's members: nobody else comes into the address book with a proposal. */
export const entriesOfMembers = (config: CommitteeConfig, nodes: readonly ClusterNode[]): readonly ClusterNode[] =>
  nodes.filter((node) =>
    config.members.some(({ index, publicKey }) => index === node.index && equalBytes(publicKey, node.publicKey)),
  )

/** Entries that a peer sent: unknown nodes are added, known ones stay as they are, whatever contradicts the book is left out. */
export function withUnknownNodes(cluster: Cluster, nodes: readonly ClusterNode[]): Cluster {
  return nodes.reduce((book, node) => (contradiction(book, node) === undefined ? withNode(book, node) : book), cluster)
}

/** Only where the index is free: a known node keeps the entry it has. */
function withNode(book: Cluster, node: ClusterNode): Cluster {
  if (book.nodes.some(({ index }) => index === node.index)) return book
  return { ...book, nodes: [...book.nodes, node].toSorted((left, right) => left.index - right.index) }
}

/**
 * The operator's file of the same genesis laid over this one: an entry of a higher revision wins, in whatever order files come, and
 * nothing is taken away.
 * @throws KmsError `other-cluster`, `address-conflict` also where two entries of one revision differ
 */
export function withNewerBook(cluster: Cluster, newer: Cluster): BookChange {
  if (!equalBytes(cluster.configHash, newer.configHash))
    throw new KmsError(
      'other-cluster',
      `the file is of another cluster: its config hash is ${hex(newer.configHash)}, this node joined ${hex(cluster.configHash)}`,
      { data: { configHash: hex(newer.configHash), pinned: hex(cluster.configHash) } },
    )
  const before = new Map<number, ClusterNode>(cluster.nodes.map((node) => [node.index, node]))
  const added = newer.nodes.filter(({ index }) => !before.has(index))
  const changed = newer.nodes.filter((node) => isLaterEntry(node, before.get(node.index)))
  const replaced = new Set([...added, ...changed].map(({ index }) => index))
  const kept = cluster.nodes.filter(({ index }) => !replaced.has(index))
  if (replaced.size === 0) return { cluster, added: [], changed: [] }
  const merged = [...added, ...changed].reduce(
    (book, node) => {
      const problem = contradiction(book, node)
      if (problem === undefined) return withNode(book, node)
      throw new KmsError(
        'address-conflict',
        `the file contradicts what this node knows: ${problem}; make it again from the cluster.json of a node that runs`,
        { data: { index: node.index, name: node.name } },
      )
    },
    withBook(cluster, kept),
  )
  return { cluster: merged, added: added.map(nameOf), changed: changed.map(nameOf) }
}

const withBook = (cluster: Cluster, nodes: readonly ClusterNode[]): Cluster => ({ ...cluster, nodes })
const nameOf = ({ name }: ClusterNode): string => name

/** What keeps this entry out of the book; an entry of its own at the same index does not. */
function contradiction(book: Cluster, node: ClusterNode): string | undefined {
  if (book.nodes.length >= MAX_CLUSTER_NODES) return `a cluster has at most ${MAX_CLUSTER_NODES} nodes`
  for (const known of knownIdentities(book)) {
    const sameKey = equalBytes(known.publicKey, node.publicKey)
    if (known.index === node.index && !sameKey)
      return `index ${node.index} belongs to another identity than ${node.name}'s`
    if (known.index !== node.index && sameKey) return `${node.name} has index ${known.index}, not ${node.index}`
  }
  const others = book.nodes.filter(({ index }) => index !== node.index)
  const name = others.find((other) => other.name === node.name)
  if (name !== undefined) return `nodes ${name.index} and ${node.index} are both called ${node.name}`
  const url = others.find((other) => other.url === node.url)
  return url === undefined ? undefined : `${url.name} and ${node.name} have the same URL`
}

/** Who is in a committee now, for people: "ecies/421614 generation 1". */
export interface NamedCommittee {
  readonly title: string
  readonly config: CommitteeConfig
}

/**
 * The book without a node that no current committee names.
 * @param current the newest committee of every key; while there is no key, the genesis committee
 * @throws KmsError `unknown-node`, `still-member`
 */
export function withoutNode(cluster: Cluster, name: string, current: readonly NamedCommittee[]): Cluster {
  const node = cluster.nodes.find((known) => known.name === name)
  if (node === undefined)
    throw new KmsError('unknown-node', `no node is called ${name}; there are ${cluster.nodes.map(nameOf).join(', ')}`, {
      data: { name },
    })
  const committees = current.length > 0 ? current : [{ title: 'the genesis committee', config: cluster.config }]
  const holding = committees.filter(({ config }) => config.members.some(({ index }) => index === node.index))
  if (holding.length > 0)
    throw new KmsError(
      'still-member',
      `${name} is a member of ${holding.map(({ title }) => title).join(', ')}: reshare each without it first`,
      { data: { name, committees: holding.map(({ title }) => title) } },
    )
  return withBook(
    cluster,
    cluster.nodes.filter((known) => known !== node),
  )
}

/** Whether it takes the place of what is known of the same node. @throws KmsError `address-conflict` */
function isLaterEntry(node: ClusterNode, known: ClusterNode | undefined): boolean {
  if (known === undefined || sameEntry(node, known)) return false
  // Another identity at this index: no revision makes that right.
  if (!equalBytes(node.publicKey, known.publicKey)) return true
  const ahead = (node.revision ?? 0) - (known.revision ?? 0)
  if (ahead === 0)
    throw new KmsError(
      'address-conflict',
      `the file has another entry for ${known.name} of the same revision ${known.revision ?? 0}: which one is newer? Give the right one a higher "revision"`,
      { data: { index: node.index, name: node.name, revision: known.revision ?? 0 } },
    )
  return ahead > 0
}

const sameEntry = (left: ClusterNode, right: ClusterNode | undefined): boolean =>
  right !== undefined && JSON.stringify(formatClusterNode(left)) === JSON.stringify(formatClusterNode(right))

const hex = (bytes: Uint8Array): string => `0x${bytesKey(bytes)}`
