import { readdir, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClusterNode } from '@tkms/dkg'
import type { CeremonyStatus } from '../../ceremony/status.ts'
import type { NodeConfig } from '../../config/types.ts'
import type { KeyKeeper } from '../../keys/keeper-types.ts'
import type { KeyDirectory } from '../../keys/key-directory.ts'
import type { Own } from '../../open-own.ts'
import type { PolicyState } from '../../policy/live-policy.ts'
import { livingCommittees } from '../../keys/ceremony-keys.ts'
import type { NodeMetrics } from './node-metrics.ts'
import type { ExpectedPeer, ReachableCommittee, StateSources } from './state-metrics.ts'

const DAY_SECONDS = 86_400

/** Where the gauges of a running node come from. */
export interface WatchedNode extends Pick<StateSources, 'audit' | 'readiness' | 'tls' | 'attested' | 'ownAttestation'> {
  readonly config: Pick<NodeConfig, 'dataDir' | 'limits' | 'attestation'>
  readonly own: Pick<Own, 'joined' | 'self'>
  readonly keys: { readonly keeper: KeyKeeper; readonly directory: KeyDirectory }
  readonly network: { readonly connected: readonly number[] }
  readonly pipeline: { readonly underWay: number }
  readonly ceremonies: { list(): readonly CeremonyStatus[] }
  readonly policy: { state(): PolicyState }
  readonly clusterKeeper: { nodes(): readonly ClusterNode[] }
}

/** Lets `metrics` show this node. */
export function watchNode(metrics: NodeMetrics, node: WatchedNode): void {
  const { config, own, keys, network, ceremonies, policy } = node
  const self = own.self.index
  const connected = (): ReadonlySet<number> => new Set<number>(network.connected)
  metrics.watch({
    ...node,
    underWay: () => node.pipeline.underWay,
    places: config.limits.maxRequestsInFlight + config.limits.maxRequestsQueued,
    keys: () => keys.directory.list(),
    serves: () => keys.directory.problem() === undefined,
    committees: () => committeesOf(keys.keeper, { self, connected: connected() }),
    peers: () => expectedPeers(node, connected()),
    ceremonies: () => ceremonies.list(),
    evidence: () => countEvidence(join(config.dataDir, 'evidence')),
    freeBytes: async () => {
      const { bavail, bsize } = await statfs(config.dataDir)
      return bavail * bsize
    },
    policy: () => policy.state(),
    attestationWarnSeconds: config.attestation.warnDays * DAY_SECONDS,
  })
}

/** The other members of every living committee; while there is no key, of the one the cluster began with. */
function expectedPeers(
  { own, keys, clusterKeeper }: WatchedNode,
  connected: ReadonlySet<number>,
): readonly ExpectedPeer[] {
  const living = livingCommittees(keys.keeper)
  const members = (living.length > 0 ? living : [own.joined.config]).flatMap((committee) => committee.members)
  const indices = new Set<number>(members.map(({ index }) => index))
  indices.delete(own.self.index)
  const nodes = clusterKeeper.nodes()
  const nameOf = (index: number): string => nodes.find((known) => known.index === index)?.name ?? `node ${index}`
  return [...indices].map((index) => ({ name: nameOf(index), connected: connected.has(index) }))
}

/** Of every key that is not destroyed, by its latest sharing. */
export const committeesOf = (
  keeper: Pick<KeyKeeper, 'list'>,
  { self, connected }: { readonly self: number; readonly connected: ReadonlySet<number> },
): readonly ReachableCommittee[] =>
  keeper
    .list()
    .filter(({ destroyedAtMs }) => destroyedAtMs === undefined)
    .flatMap(({ sharings }) => sharings.slice(0, 1))
    .map(({ sharing, servable }) => {
      const { keyName, generation, t, config } = sharing.key
      const answers = ({ index }: { readonly index: number }): boolean =>
        index === self ? servable : connected.has(index)
      return {
        keyName,
        generation,
        members: config.members.length,
        threshold: t,
        reachable: config.members.filter(answers).length,
      }
    })

/** By the files that `writeEvidence` makes: what is proven has its bytes beside it. */
export async function countEvidence(directory: string): Promise<{ readonly proven: number; readonly alleged: number }> {
  const names = await readdir(directory).catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return []
    throw cause
  })
  const proven = names.filter((name) => name.endsWith('.bin')).length
  const records = names.filter((name) => name.endsWith('.json')).length
  return { proven, alleged: Math.max(0, records - proven) }
}
