import {
  addCertificate,
  type Cluster,
  type ClusterNode,
  type Curve,
  formatCluster,
  parseCluster,
  type VerifyMessage,
} from '@tkms/dkg'
import { createTurns } from '../turns.ts'
import { ownConfigHashes, withUnknownNodes } from './address-book.ts'
import { writeClusterFile } from './cluster-file.ts'

/** The cluster file of a running node: every change goes through here, one after the other, and is on disk when it resolves. */
export interface ClusterKeeper {
  current(): Cluster
  /** The address book. */
  nodes(): readonly ClusterNode[]
  /**
   * Verified along its chain; one that leads nowhere new changes nothing.
   * @param accepted config hashes (32 bytes) of committees whose degraded AUTH this node's operator approved
   * @throws KmsError `bad-certificate`, `degraded-certificate`, `too-large`
   */
  addCertificate(certificate: Uint8Array, accepted?: readonly Uint8Array[]): Promise<void>
  /** Entries from a proposal: unknown nodes are added, known ones stay as they are, contradictions are left out. */
  add(nodes: readonly ClusterNode[]): Promise<void>
  /** Any other edit. What `edit` throws reaches the caller, and nothing has changed. */
  change(edit: (cluster: Cluster) => Cluster): Promise<Cluster>
  /** Called after every change that was written. */
  onChange(listener: (cluster: Cluster) => void): void
}

export interface ClusterKeeperParams {
  /** Of the cluster file. */
  readonly path: string
  readonly cluster: Cluster
  readonly curve: Curve
  readonly verify: VerifyMessage
}

export function createClusterKeeper(params: ClusterKeeperParams): ClusterKeeper {
  const { path, curve, verify } = params
  let cluster = params.cluster
  const inTurn = createTurns()
  const listeners: ((cluster: Cluster) => void)[] = []
  const change = (edit: (before: Cluster) => Cluster): Promise<Cluster> =>
    inTurn(async () => {
      const edited = edit(cluster)
      if (edited === cluster) return cluster
      // Nothing is written that could not be read back at the next start.
      const readable = parseCluster(formatCluster(edited))
      await writeClusterFile(path, readable)
      cluster = readable
      for (const listener of listeners) listener(cluster)
      return cluster
    })
  return {
    current: () => cluster,
    nodes: () => cluster.nodes,
    addCertificate: async (certificate, accepted = []) => {
      await change((before) =>
        addCertificate(curve, verify, before, certificate, [...ownConfigHashes(before), ...accepted]),
      )
    },
    add: async (nodes) => {
      await change((before) => withUnknownNodes(before, nodes))
    },
    change,
    onChange: (listener) => {
      listeners.push(listener)
    },
  }
}
