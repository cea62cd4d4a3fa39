import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { DelayOrder } from './late-proxy-main.ts'

/** Proxies before the nodes of a cluster, in a process of their own. */
export interface LateProxies {
  /** The cluster file with the proxies' addresses in place of the nodes' own. */
  readonly file: unknown
  /** What this node sends arrives so much later from now on. */
  delay(index: number, delayMs: number): void
  stop(): void
}

interface FileNode {
  readonly index: number
  readonly url: string
  readonly multiaddrs: readonly string[]
}

const portsOf = ({ url, multiaddrs }: FileNode): readonly number[] => [
  Number(new URL(url).port),
  ...multiaddrs.map((address) => Number(/\d+$/.exec(address)?.[0])),
]

/** @param file a cluster file's parsed content, of nodes on loopback */
export async function openLateProxies(file: unknown): Promise<LateProxies> {
  const cluster = file as { readonly nodes: readonly FileNode[] }
  const targets = cluster.nodes.flatMap(portsOf)
  const child = fork(join(import.meta.dirname, 'late-proxy-main.ts'), [JSON.stringify(targets)])
  const [ports] = (await once(child, 'message')) as [readonly (readonly [number, number])[]]
  const portOf = new Map(ports)
  const moved = (address: string): string => address.replace(/\d+$/, (port) => `${portOf.get(Number(port)) ?? port}`)
  return {
    file: {
      ...cluster,
      nodes: cluster.nodes.map((node) => ({ ...node, url: moved(node.url), multiaddrs: node.multiaddrs.map(moved) })),
    },
    delay(index, delayMs) {
      for (const node of cluster.nodes.filter((each) => each.index === index))
        for (const target of portsOf(node)) child.send({ target, delayMs } satisfies DelayOrder)
    },
    stop: () => child.disconnect(),
  }
}
