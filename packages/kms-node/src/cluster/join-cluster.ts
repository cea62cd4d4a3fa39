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
} from '@tkms/dkg'
import type { NodeConfig } from '../config/types.ts'
import { forgetIdentity, loadNodeIdentity } from '../identity/node-identity.ts'
import { spkiSha256 } from '../identity/tls-certificate.ts'
import type { Rng, RecordStore } from '../ports.ts'
import { clusterPath, ownEntry, pinCluster, writeClusterFile } from './cluster-file.ts'
import type { parseNodeCard } from './node-card.ts'

/**
 * A new cluster over these cards: a random cluster id, indices 1..n in their order.
 * @throws KmsError `bad-config`, `bad-cluster-file`
 */
export function createCluster(
  cards: readonly ReturnType<typeof parseNodeCard>[],
  options: { readonly threshold: number; readonly rng: Rng },
): Cluster {
  const nodes: ClusterNode[] = cards.map((card, at) => ({
    index: participantIndex(at + 1),
    name: card.name,
    publicKey: card.publicKey,
    multiaddrs: card.multiaddrs,
    url: card.url,
    ...(card.tlsSpkiSha256 !== undefined && {
      tlsSpkiSha256: Uint8Array.from(Buffer.from(card.tlsSpkiSha256.slice(2), 'hex')),
    }),
  }))
  const clusterId = id32<ClusterId>(options.rng.bytes(32), 'clusterId')
  const config = createConfig({ clusterId, t: options.threshold, members: nodes })
  return parseCluster(formatCluster({ config, configHash: configHash(config), nodes, certificates: [] }))
}

/**
 * Joins: the file must name this node as it is and every certificate in it must hold, then its committee is pinned for life and the
 * file copied into the data directory.
 * @throws KmsError `not-in-cluster`, `cluster-entry-differs`, `cluster-pinned`, `bad-certificate`
 */
export async function joinCluster(store: RecordStore, config: NodeConfig, cluster: Cluster): Promise<ClusterNode> {
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
    clusterKeys(selectCurve().curve, verifyEd25519, cluster)
    await pinCluster(store, cluster)
    await writeClusterFile(clusterPath(config.dataDir), cluster)
    return entry
  } finally {
    forgetIdentity(identity)
  }
}
