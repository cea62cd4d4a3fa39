import {
  type ClusterId,
  clusterKeys,
  type ClusterNode,
  type Curve,
  parseCluster,
  type VerifiedKey,
  verifyEd25519,
} from '@tkms/dkg'
import type { Transport } from '@tkms/kms-client'
import { libp2p, pinnedHttp } from '@tkms/kms-client/node'

export type TransportName = 'libp2p' | 'http'

export const openTransport: Readonly<Record<TransportName, () => Transport>> = { libp2p, http: pinnedHttp }

/** Which node is asked, as one process tells another. */
export interface AskedNode {
  /** The cluster file. */
  readonly cluster: unknown
  /** Its name there. */
  readonly name: string
  readonly keyName: string
}

/** @throws Error when the file does not name it or has no certificate of the key */
export function readAskedNode(
  curve: Curve,
  asked: AskedNode,
): { readonly node: ClusterNode; readonly key: VerifiedKey; readonly clusterId: ClusterId } {
  const cluster = parseCluster(asked.cluster)
  const node = cluster.nodes.find(({ name }) => name === asked.name)
  const key = clusterKeys(curve, verifyEd25519, cluster).find(({ keyName }) => keyName === asked.keyName)
  if (node === undefined || key === undefined) throw new Error('the cluster file has no such node or key')
  return { node, key, clusterId: cluster.config.clusterId }
}

/** 256 items of 98 bytes in a box, and what is around them. */
export const MAX_REPLY_BYTES: number = 64 * 1024
