import { KmsError } from '@tkms/dkg'
import { fetchCluster, pinnedExchange } from '@tkms/kms-client/node'
import { readClusterFile } from '../cluster/cluster-file.ts'
import { type AskingPorts, askNodes, type NodeVerdict } from './ask-nodes.ts'

const CLUSTER_TIMEOUT_MS = 15_000

/**
 * Asks every node of a cluster file, or of the cluster that a node names and a pin confirms, for its proof.
 * @param named.source path or http(s) URL
 * @throws KmsError `bad-cluster-file`, `cluster-unreachable`, `pin-mismatch`, `usage`
 */
export async function askCluster(
  named: { readonly source: string; readonly configHash: string | undefined },
  ports: Omit<AskingPorts, 'exchange'>,
): Promise<readonly NodeVerdict[]> {
  const { source, configHash } = named
  const door = pinnedExchange()
  const { exchange } = door
  try {
    if (!/^https?:\/\//.test(source)) return await askNodes(await readClusterFile(source), { ...ports, exchange })
    if (configHash === undefined)
      throw new KmsError('usage', 'a cluster that a node names is believed only with --config-hash')
    const url = `${source.replace(/\/+$/, '')}/v1/cluster`
    const signal = AbortSignal.timeout(CLUSTER_TIMEOUT_MS)
    return await askNodes(await fetchCluster({ url, configHash }, { exchange, signal }), { ...ports, exchange })
  } finally {
    door.close()
  }
}
