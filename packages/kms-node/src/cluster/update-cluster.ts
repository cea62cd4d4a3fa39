import {
  addCertificate,
  bytesKey,
  type Cluster,
  clusterKeys,
  type Curve,
  equalBytes,
  KmsError,
  type ParticipantIndex,
  type VerifiedKey,
  type VerifyMessage,
} from '@tkms/dkg'
import type { RecordStore } from '../ports.ts'
import { type NamedCommittee, ownConfigHashes, withNewerBook, withoutNode } from './address-book.ts'
import { clusterPath, readClusterFile, readJoinedCluster, writeClusterFile } from './cluster-file.ts'
import type { ClusterKeeper } from './cluster-keeper.ts'

/** What an update or a removal did, for people. */
export interface ClusterUpdate {
  /** Names of nodes. */
  readonly added: readonly string[]
  readonly changed: readonly string[]
  readonly removed: readonly string[]
  /** Certificates that this node did not have. */
  readonly certificates: number
}

const NOTHING: ClusterUpdate = { added: [], changed: [], removed: [], certificates: 0 }

/** The cluster of a running node as its operator changes it. */
export interface ClusterOperations {
  /**
   * Takes in a newer cluster file of the same genesis: its entries, and its certificates.
   * @param path absolute, read by this process
   * @param accepted config hashes (32 bytes) of committees that the operator takes on a degraded AUTH
   * @throws KmsError `bad-cluster-file`, `other-cluster`, `address-conflict`, `cluster-entry-differs`, `bad-certificate`,
   * `degraded-certificate`
   */
  update(path: string, accepted?: readonly Uint8Array[]): Promise<ClusterUpdate>
  /** Forgets a node that no committee names. @throws KmsError `unknown-node`, `still-member`, `own-entry` */
  remove(name: string): Promise<ClusterUpdate>
}

export interface ClusterOperationsParams {
  readonly keeper: ClusterKeeper
  readonly self: ParticipantIndex
  /** The newest sharing of every key this node knows. */
  readonly keys: () => readonly VerifiedKey[]
  /** Committees of undecided ceremonies, with a name for people. */
  readonly open: () => readonly NamedCommittee[]
  readonly curve: Curve
  readonly verify: VerifyMessage
  /** Takes in, from certificates that hold, those that lead on from what is known; they are in the cluster file when it resolves. */
  readonly learn: (certificates: readonly Uint8Array[], accepted: readonly Uint8Array[]) => Promise<unknown>
}

export function createClusterOperations(params: ClusterOperationsParams): ClusterOperations {
  const { keeper, self } = params
  return {
    update: async (path, accepted) => updateAddressBook(params, await readClusterFile(path), accepted),
    remove: async (name) => {
      requireOther(keeper.current(), self, name)
      const living = [...params.keys().map(committeeOf), ...params.open()]
      await keeper.change((cluster) => withoutNode(cluster, name, living))
      return { ...NOTHING, removed: [name] }
    },
  }
}

/**
 * A running node takes in the operator's newer file: certificates first, since later entries may be members by them.
 * @throws KmsError `other-cluster`, `address-conflict`, `cluster-entry-differs`, `bad-certificate`, `degraded-certificate`
 */
export async function updateAddressBook(
  { keeper, self, curve, verify, learn }: Omit<ClusterOperationsParams, 'keys' | 'open'>,
  newer: Cluster,
  accepted: readonly Uint8Array[] = [],
): Promise<ClusterUpdate> {
  const before = keeper.current()
  const { added, changed } = withNewerBook(before, newer)
  requireOwnEntry(before, newer, self)
  const trusted = [...ownConfigHashes(before), ...accepted]
  clusterKeys(curve, verify, newer, trusted)
  await learn(newer.certificates, trusted)
  await keeper.change((cluster) => withNewerBook(cluster, newer).cluster)
  return { ...NOTHING, added, changed, certificates: newIn(before, keeper.current()) }
}

/** Where the cluster file of a node that does not run is. */
export interface StoppedNode {
  readonly store: RecordStore
  readonly dataDir: string
  readonly curve: Curve
  readonly verify: VerifyMessage
}

/** `updateAddressBook` for a node that does not run. @throws as there, and `cluster-not-joined`, `cluster-changed` */
export async function updateClusterFile(
  node: StoppedNode,
  self: Self,
  newer: Cluster,
  accepted: readonly Uint8Array[] = [],
): Promise<ClusterUpdate> {
  const own = await readJoinedCluster(node.store, node.dataDir)
  const { cluster, added, changed } = withNewerBook(own, newer)
  requireOwnEntry(own, newer, indexOf(own, self))
  const trusted = [...ownConfigHashes(own), ...accepted]
  const certified = newer.certificates.reduce(
    (grown, certificate) => addCertificate(node.curve, node.verify, grown, certificate, trusted),
    cluster,
  )
  if (certified !== own) await writeClusterFile(clusterPath(node.dataDir), certified)
  return { ...NOTHING, added, changed, certificates: newIn(own, certified) }
}

/** `remove` for a node that does not run. @throws as there, and `cluster-not-joined`, `cluster-changed` */
export async function removeFromClusterFile(node: StoppedNode, self: Self, name: string): Promise<ClusterUpdate> {
  const own = await readJoinedCluster(node.store, node.dataDir)
  requireOther(own, indexOf(own, self), name)
  const current = clusterKeys(node.curve, node.verify, own, ownConfigHashes(own)).map(committeeOf)
  await writeClusterFile(clusterPath(node.dataDir), withoutNode(own, name, current))
  return { ...NOTHING, removed: [name] }
}

const newIn = (before: Cluster, after: Cluster): number =>
  after.certificates.filter((bytes) => !before.certificates.some((known) => equalBytes(known, bytes))).length

/** The own identity, Ed25519, 32 bytes. */
type Self = { readonly publicKey: Uint8Array }

const indexOf = (cluster: Cluster, { publicKey }: Self): ParticipantIndex | undefined =>
  cluster.nodes.find((node) => equalBytes(node.publicKey, publicKey))?.index

const committeeOf = ({ keyName, generation, config }: VerifiedKey): NamedCommittee => ({
  title: `${keyName} generation ${generation}`,
  config,
})

function requireOther(cluster: Cluster, self: ParticipantIndex | undefined, name: string): void {
  const entry = cluster.nodes.find((node) => node.name === name)
  if (entry !== undefined && entry.index === self)
    throw new KmsError(
      'own-entry',
      `${name} is this node: a node keeps its own entry; to retire it, stop it and remove it on the others`,
      { data: { name } },
    )
}

/** The own entry is known here best: a newer file may move it, not rename it or give it another TLS key. */
function requireOwnEntry(own: Cluster, newer: Cluster, self: ParticipantIndex | undefined): void {
  const [before, after] = [own, newer].map(({ nodes }) => nodes.find(({ index }) => index === self))
  if (before === undefined || after === undefined) return
  const tls = [before, after].map(({ tlsSpkiSha256 }) => tlsSpkiSha256 && bytesKey(tlsSpkiSha256))
  if (before.name !== after.name || tls[0] !== tls[1])
    throw new KmsError(
      'cluster-entry-differs',
      `the file calls this node ${after.name}, and it is ${before.name}, or has another TLS key for it: make it again from this node's own cluster.json`,
      { data: { index: before.index, name: after.name } },
    )
}
