import { selectCurve } from '@tkms/curve-native'
import {
  bytesKey,
  type Cluster,
  clusterKeys,
  type ClusterNode,
  createConfig,
  configHash,
  formatCluster,
  id32,
  type ClusterId,
  KmsError,
  parseCluster,
  participantIndex,
  verifyEd25519,
  type VerifiedKey,
} from '@tkms/dkg'
import type { NodeConfig } from '../config/types.ts'
import { forgetIdentity, loadNodeIdentity } from '../identity/node-identity.ts'
import { spkiSha256 } from '../identity/tls-certificate.ts'
import type { Rng, RecordStore } from '../ports.ts'
import { nodeOfCard } from './address-book.ts'
import { clusterPath, ownEntry, pinCluster, writeClusterFile } from './cluster-file.ts'
import type { parseNodeCard } from './node-card.ts'
import { rosterOf } from './roster-roles.ts'

/**
 * A new cluster over these cards: a random cluster id, indices 1..n in their order.
 * @throws KmsError `bad-config`, `bad-cluster-file`
 */
export function createCluster(
  cards: readonly ReturnType<typeof parseNodeCard>[],
  options: { readonly threshold: number; readonly rng: Rng },
): Cluster {
  const nodes = cards.map((card, at) => nodeOfCard(card, participantIndex(at + 1)))
  const clusterId = id32<ClusterId>(options.rng.bytes(32), 'clusterId')
  const config = createConfig({ clusterId, t: options.threshold, members: nodes })
  return parseCluster(formatCluster({ config, configHash: configHash(config), nodes, certificates: [] }))
}

/** How a node stands in its cluster: a candidate has never been in a committee, a former member is in none now. */
export type Standing = 'member' | 'candidate' | 'former member'

/** @param keys the newest sharing of every key */
export function standingOf(cluster: Cluster, node: ClusterNode, keys: readonly VerifiedKey[]): Standing {
  const current = keys.map(({ config }) => config)
  const entry = rosterOf(cluster, { current, open: [] }).find((known) => known.node.index === node.index)
  if (entry?.role === 'former') return 'former member'
  const committees = current.length > 0 ? current : [cluster.config]
  return committees.some(({ members }) => members.some(({ index }) => index === node.index)) ? 'member' : 'candidate'
}

/**
 * Joins: the file must name this node as it is, as a member or as a candidate, and every certificate in it must hold; then the genesis
 * committee is pinned for life and the file copied into the data directory. A file that the node joined already takes the place of its
 * own: `updateClusterFile` keeps what the newer one lacks.
 * @param accepted config hashes (32 bytes) of committees that the operator takes on a degraded AUTH
 * @throws KmsError `not-in-cluster`, `cluster-entry-differs`, `cluster-pinned`, `bad-certificate`, `degraded-certificate`
 */
export async function joinCluster(
  store: RecordStore,
  config: NodeConfig,
  cluster: Cluster,
  accepted: readonly Uint8Array[] = [],
): Promise<ClusterNode & { readonly standing: Standing }> {
  const identity = await loadNodeIdentity(store)
  try {
    const entry = ownEntry(cluster, identity.publicKey)
    const pinned = entry.tlsSpkiSha256 === undefined ? undefined : bytesKey(entry.tlsSpkiSha256)
    const own = config.http.tls ? bytesKey(spkiSha256(identity.tls.cert)) : undefined
    if (pinned !== own || entry.name !== config.name)
      throw new KmsError(
        'cluster-entry-differs',
        `the cluster file calls this node ${entry.name}, and it is ${config.name}, or has another TLS key for it: it was not made with the card.json of this data directory`,
        {
          data: { index: entry.index, name: entry.name },
        },
      )
    const keys = clusterKeys(selectCurve().curve, verifyEd25519, cluster, accepted)
    await pinCluster(store, cluster)
    await writeClusterFile(clusterPath(config.dataDir), cluster)
    return { ...entry, standing: standingOf(cluster, entry, keys) }
  } finally {
    forgetIdentity(identity)
  }
}
