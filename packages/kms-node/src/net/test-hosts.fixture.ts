import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { noise } from '@chainsafe/libp2p-noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import {
  type Cluster,
  type ClusterId,
  type ClusterNode,
  configHash,
  createConfig,
  participantIndex,
  Secret,
} from '@tkms/dkg'
import { createLibp2p } from 'libp2p'
import { publicKeyOf } from '../identity/ed25519-signer.ts'
import { createHost } from './host.ts'
import { DEFAULT_NET_LIMITS, type NetLimits } from './limits.ts'
import { createRoster, type Roster } from './roster.ts'

export const TEST_LIMITS: NetLimits = {
  ...DEFAULT_NET_LIMITS,
  reconnectMs: 50,
  reconnectMaxMs: 200,
  frameTimeoutMs: 300,
  drainTimeoutMs: 2_000,
  delegateIdleMs: 2_000,
}

const seedOf = (index: number): Secret => new Secret(new Uint8Array(32).fill(index))

/** A cluster of n nodes with fixed keys; their addresses are filled in as they start. */
export function testCluster(n: number, addresses: readonly (readonly string[])[]): Cluster {
  const nodes: ClusterNode[] = Array.from({ length: n }, (_, at) => ({
    index: participantIndex(at + 1),
    name: `node-${at + 1}`,
    publicKey: publicKeyOf(seedOf(at + 1)),
    multiaddrs: addresses[at] ?? ['/ip4/127.0.0.1/tcp/1'],
    url: `http://127.0.0.1:${at + 1}`,
  }))
  const config = createConfig({ clusterId: new Uint8Array(32).fill(9) as ClusterId, t: 2, members: nodes })
  return { config, configHash: configHash(config), nodes, certificates: [] }
}

export interface TestHost {
  readonly host: Libp2p
  readonly roster: Roster
  readonly cluster: Cluster
}

/** A started host of member `index` on a free loopback port, which knows the addresses given so far, of the first `known` nodes. */
export async function startTestHost(
  index: number,
  addresses: readonly (readonly string[])[],
  limits: NetLimits = TEST_LIMITS,
  known = 3,
): Promise<TestHost> {
  const cluster = testCluster(known, addresses)
  const roster = createRoster(cluster.nodes, participantIndex(index))
  const host = await createHost({
    identity: seedOf(index),
    roster,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    announce: [],
    limits,
  })
  await host.start()
  return { host, roster, cluster }
}

/** A peer outside every roster. */
export const startStranger = async (): Promise<Libp2p> =>
  createLibp2p({
    privateKey: await generateKeyPair('Ed25519'),
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
  })
