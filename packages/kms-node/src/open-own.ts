import type { Cluster, ClusterNode, SignMessage } from '@tkms/dkg'
import { ownEntry, readJoinedCluster } from './cluster/cluster-file.ts'
import type { NodeConfig } from './config/types.ts'
import { createSigner } from './identity/ed25519-signer.ts'
import { forgetIdentity, loadNodeIdentity, type NodeIdentity } from './identity/node-identity.ts'
import type { Log } from './ops/log.ts'
import type { RecordStore, Rng, Sealer } from './ports.ts'
import { requirePrivateFiles } from './private-files.ts'
import type { NodeSealer } from './seal/key-sealer.ts'
import type { Stop } from './stop-all.ts'
import { openRecordStore } from './store/record-store.ts'
import { storeDirectory } from './system.ts'

/** What a node is before it speaks to anybody. */
export interface Own {
  readonly sealer: Sealer
  readonly store: RecordStore
  readonly identity: NodeIdentity
  readonly sign: SignMessage
  /** As it was when the node started. */
  readonly joined: Cluster
  /** The node's own entry in it. */
  readonly self: ClusterNode
}

/**
 * Unseals the store and reads from it who the node is.
 * @param params.sealer taken over
 * @throws KmsError `unsafe-permissions`, `sealer-mismatch`, `unseal-failed`, `store-locked`, `cluster-not-joined`
 */
export async function openOwn(
  params: { readonly config: NodeConfig; readonly sealer: NodeSealer; readonly rng: Rng; readonly log: Log },
  stops: Stop[],
): Promise<Own> {
  const { config, sealer, rng, log } = params
  stops.push(() => sealer.destroy())
  await requirePrivateFiles(config, (problem) => log.warn({ problem }, 'files-unprotected'))
  const store = await openRecordStore({ directory: storeDirectory(config.dataDir), sealer, rng })
  stops.push(() => store.close())
  const identity = await loadNodeIdentity(store)
  stops.push(() => forgetIdentity(identity))
  const joined = await readJoinedCluster(store, config.dataDir)
  const self = ownEntry(joined, identity.publicKey)
  return { sealer, store, identity, sign: createSigner(identity.seed), joined, self }
}
