import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { ClusterNode } from '@tkms/dkg'
import { type Finding, findingsOf } from './finding.ts'

/** The hosts that a node's entry names, in its url and its multiaddrs. */
function hostsOf({ url, multiaddrs }: ClusterNode): ReadonlySet<string> {
  const named = multiaddrs.map((address) => address.split('/')[2] ?? '')
  return new Set([new URL(url).hostname.replace(/^\[(.*)\]$/, '$1'), ...named].filter((host) => host !== ''))
}

/** The addresses of a host; its name where nothing is found. */
export type Resolve = (host: string) => Promise<readonly string[]>

/** @param timeoutMs for one name; a name that takes longer stands for itself */
export const systemResolve =
  (timeoutMs: number): Resolve =>
  async (host) => {
    if (isIP(host) !== 0) return [host]
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<readonly string[]>((resolve) => {
      timer = setTimeout(() => resolve([host]), timeoutMs)
    })
    const found = lookup(host, { all: true }).then(
      (addresses) => addresses.map(({ address }) => address),
      () => [host],
    )
    return Promise.race([found, late]).finally(() => clearTimeout(timer))
  }

/** Several nodes on one machine fall together, and whoever has the machine has them all. */
export async function judgeHosts(nodes: readonly ClusterNode[], resolve: Resolve): Promise<readonly Finding[]> {
  const byAddress = new Map<string, Set<string>>()
  for (const node of nodes)
    for (const host of hostsOf(node))
      for (const address of await resolve(host))
        byAddress.set(address, (byAddress.get(address) ?? new Set()).add(node.name))
  return nodes.map((node) => {
    const finding = findingsOf('hosts', node.name)
    const shared = [...byAddress].filter(([, names]) => names.has(node.name) && names.size > 1)
    if (shared.length === 0) return finding.ok('has its addresses for itself')
    const others = new Set(shared.flatMap(([, names]) => [...names]).filter((name) => name !== node.name))
    return finding.warn(
      `shares ${shared.map(([address]) => address).join(', ')} with ${[...others].join(', ')}`,
      'run each node on a machine, and under an operator, of its own: a threshold among nodes of one machine protects nothing',
    )
  })
}
