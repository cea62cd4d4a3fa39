import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hexToBytes } from '@noble/hashes/utils.js'
import { startTestAgent, type TestAgent } from '../../packages/kms-node/src/dstack/guest-agent.fixture.ts'
import type { TestNode } from '../support/node-cluster.ts'
import { createTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import type { Machines } from './machines.ts'

/*
 * What whoever runs the host of a good machine can do to a whole node in it: answer in the place of the guest agent, and carry or stop
 * the node's connections.
 */

/** Answers every question of the node with a quote over bytes of its own. */
export function startLyingHost(node: TestNode, machines: Machines): Promise<TestAgent> {
  const other = new Uint8Array(64).fill(9)
  return startAgent(node, machines, () => machines.quote(other))
}

/** Keeps the quote that the node made for its first connection to a peer, and gives it out for every later one. */
export interface ReplayingHost {
  /** Until `shut`, this peer alone can be reached. */
  open(peer: TestNode): void
  /** Breaks the connections to the peer. The node makes new ones. */
  cut(peer: TestNode): void
  shut(peer: TestNode): void
  /** Lets the node reach everybody, with quotes of connections that are gone. */
  openAll(): void
  close(): Promise<void>
}

/** @param node not started yet: it is made to reach each of `peers` through this host alone, and to be reached by nobody */
export async function startReplayingHost(
  node: TestNode,
  peers: readonly TestNode[],
  machines: Machines,
): Promise<ReplayingHost> {
  const proxies = await carryConnections(node, peers)
  const proxyOf = ({ index }: TestNode): TcpProxy => proxies.get(index) ?? unknownPeer(index)
  const kept = new Map<number, Uint8Array>()
  let opened: TestNode | undefined
  const agent = await startAgent(node, machines, (reportData) => {
    // The node asks for itself while nobody can be reached.
    const [any] = kept.values()
    const old = opened === undefined ? any : kept.get(opened.index)
    if (old !== undefined) return old
    const quote = machines.quote(reportData)
    if (opened !== undefined) kept.set(opened.index, quote)
    return quote
  })
  return {
    open: (peer) => {
      opened = peer
      proxyOf(peer).set({ blocked: 'nothing' })
    },
    cut: (peer) => proxyOf(peer).cut(),
    shut: (peer) => {
      proxyOf(peer).set({ blocked: 'everything' })
      proxyOf(peer).cut()
      opened = undefined
    },
    openAll: () => {
      for (const proxy of proxies.values()) proxy.set({ blocked: 'nothing' })
    },
    close: async () => {
      await agent.close()
      await Promise.all([...proxies.values()].map((proxy) => proxy.close()))
    },
  }
}

async function startAgent(
  node: TestNode,
  machines: Machines,
  quote: (reportData: Uint8Array) => Uint8Array,
): Promise<TestAgent> {
  const socket = `${node.directory}.sock`
  await machines.trustAgent(node.directory, socket)
  return startTestAgent(socket, 'not asked for keys', ({ report_data: asked }) => ({
    text: JSON.stringify({ quote: Buffer.from(quote(hexToBytes(String(asked)))).toString('hex') }),
  }))
}

interface ClusterFile {
  readonly nodes: { readonly index: number; multiaddrs: string[] }[]
}

const PORT = /\/tcp\/(\d+)$/

/** One proxy before each peer, shut. The node's own cluster file leads there, and it listens where nobody looks for it. */
async function carryConnections(node: TestNode, peers: readonly TestNode[]): Promise<ReadonlyMap<number, TcpProxy>> {
  const file = join(node.directory, 'cluster.json')
  const cluster = JSON.parse(await readFile(file, 'utf8')) as ClusterFile
  const proxies = new Map<number, TcpProxy>()
  for (const known of cluster.nodes) {
    if (!peers.some(({ index }) => index === known.index)) continue
    const port = Number(PORT.exec(known.multiaddrs[0] ?? '')?.[1])
    const target = { host: '127.0.0.1', port }
    const proxy = await createTcpProxy(target, { host: '127.0.0.1', port: 0 }, { blocked: 'everything' })
    proxies.set(known.index, proxy)
    known.multiaddrs = [`/ip4/127.0.0.1/tcp/${proxy.port}`]
  }
  await writeFile(file, JSON.stringify(cluster))
  const settings = join(node.directory, 'node.yaml')
  const text = await readFile(settings, 'utf8')
  await writeFile(settings, text.replace(/^listen: .*$/m, 'listen: ["/ip4/127.0.0.1/tcp/0"]'))
  return proxies
}

function unknownPeer(index: number): never {
  throw new Error(`node ${index} is not behind this host`)
}
