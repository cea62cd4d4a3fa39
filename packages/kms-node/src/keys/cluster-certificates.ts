import type { Cluster } from '@tkms/dkg'
import { withCertificate, writeClusterFile } from '../cluster/cluster-file.ts'
import { createTurns } from '../turns.ts'

/** The certificates in this node's cluster file: what its clients and joining nodes are given. */
export interface ClusterCertificates {
  /** The cluster with every certificate added so far. */
  readonly cluster: () => Cluster
  /** Adds those that are not there yet. One call at a time: ceremonies that end together would lose one another's certificate. */
  add(certificates: readonly Uint8Array[]): Promise<void>
}

export function createClusterCertificates({
  path,
  cluster: joined,
}: {
  /** Of the cluster file. */
  readonly path: string
  readonly cluster: Cluster
}): ClusterCertificates {
  let cluster = joined
  const inTurn = createTurns()
  return {
    cluster: () => cluster,
    add: (certificates) =>
      inTurn(async () => {
        const extended = certificates.reduce(withCertificate, cluster)
        if (extended === cluster) return
        await writeClusterFile(path, extended)
        cluster = extended
      }),
  }
}
