import { type Cluster, equalBytes } from '@tkms/dkg'
import { fetchCluster, pinnedExchange } from '@tkms/kms-client/node'
import { isKmsError } from '../errors.ts'
import type { BackupHeader } from './backup-file.ts'

/** One node's time for its cluster file. */
const PEER_TIMEOUT_MS = 3_000

/** What a node says of the cluster. */
export interface PeerAnswer {
  readonly name: string
  /** `refused`: what it sent does not hold. */
  readonly state: 'answered' | 'unreachable' | 'refused'
}

/** Asks every other node of the cluster for its certificates. Never throws for what they say. */
export async function askPeers(
  cluster: Cluster,
  self: Pick<BackupHeader, 'publicKey'>,
): Promise<{ readonly files: readonly Cluster[]; readonly peers: readonly PeerAnswer[] }> {
  const door = pinnedExchange({ handshakeTimeoutMs: PEER_TIMEOUT_MS })
  const { exchange } = door
  const others = cluster.nodes.filter(({ publicKey }) => !equalBytes(publicKey, self.publicKey))
  const files: Cluster[] = []
  const peers = await Promise.all(
    others.map(async ({ name, url, tlsSpkiSha256 }): Promise<PeerAnswer> => {
      const source = {
        url: `${url.replace(/\/+$/, '')}/v1/cluster`,
        configHash: cluster.configHash,
        ...(tlsSpkiSha256 && { tlsSpkiSha256 }),
      }
      try {
        files.push(await fetchCluster(source, { exchange, signal: AbortSignal.timeout(PEER_TIMEOUT_MS) }))
        return { name, state: 'answered' }
      } catch (cause) {
        if (!isKmsError(cause)) return { name, state: 'unreachable' }
        return { name, state: cause.code === 'cluster-unreachable' ? 'unreachable' : 'refused' }
      }
    }),
  )
  door.close()
  return { files, peers }
}
