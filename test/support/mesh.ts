import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Address, createTcpProxy, type LinkFaults } from './tcp-proxy.ts'
import type { ProxyOrder } from './tcp-proxy-main.ts'

/** Somebody who runs proxies: this process, or one in another network namespace. */
export interface ProxyHost {
  /** Where its proxies are reached. */
  readonly address: string
  /** @returns the port */
  create(id: string, target: Address): Promise<number>
  set(id: string, change: Partial<LinkFaults>): Promise<void>
  close(): Promise<void>
}

/** Proxies in this process, on loopback. */
export function localProxies(): ProxyHost {
  const proxies = new Map<string, Awaited<ReturnType<typeof createTcpProxy>>>()
  return {
    address: '127.0.0.1',
    create: async (id, target) => {
      const proxy = await createTcpProxy(target)
      proxies.set(id, proxy)
      return proxy.port
    },
    set: async (id, change) => proxies.get(id)?.set(change),
    close: async () => {
      await Promise.all([...proxies.values()].map((proxy) => proxy.close()))
    },
  }
}

/** Proxies in a process of their own behind a launcher; it ends with this one. */
export async function proxiesBehind(launcher: readonly string[], address: string): Promise<ProxyHost> {
  const main = fileURLToPath(new URL('tcp-proxy-main.ts', import.meta.url))
  const [program, ...args] = [...launcher, process.execPath, main]
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  await once(child, 'message')
  let last: Promise<unknown> = Promise.resolve()
  const order = (what: ProxyOrder): Promise<number> => {
    const answer = last.then(async () => {
      child.send(what)
      const [{ port }] = (await once(child, 'message')) as [{ port: number }]
      return port
    })
    last = answer
    return answer
  }
  return {
    address,
    create: (id, target) => order({ type: 'create', id, target, listen: { host: address, port: 0 } }),
    set: async (id, change) => {
      await order({ type: 'set', id, change })
    },
    close: async () => {
      const gone = once(child, 'exit')
      child.disconnect()
      await gone
    },
  }
}

/** Where a node is, and which file tells it of the others. */
export interface MeshMember {
  readonly index: number
  readonly directory: string
  /** Where it listens for libp2p. */
  readonly address: Address
}

/** Every pair of nodes speaks through a proxy of its own, which one of them dials. */
export interface Mesh {
  /** On every link, both ways. */
  everywhere(change: Partial<Pick<LinkFaults, 'delayMs' | 'bytesPerSecond'>>): Promise<void>
  /** What one member says no longer reaches the other, whoever dialled; until `heal`. */
  block(from: number, to: number): Promise<void>
  /** Nothing crosses between the groups, until `heal`. */
  partition(left: readonly number[], right: readonly number[]): Promise<void>
  heal(): Promise<void>
}

/** Rewrites the addresses in every member's own cluster file: they are outside the config hash. Before the nodes start. */
export async function createMesh(members: readonly MeshMember[], proxies: ProxyHost): Promise<Mesh> {
  const links: { readonly id: string; readonly from: number; readonly to: number }[] = []
  for (const from of members) {
    const addresses = new Map<number, string>()
    for (const to of members) {
      if (to === from) continue
      const id = `${from.index}-${to.index}`
      addresses.set(to.index, `/ip4/${proxies.address}/tcp/${await proxies.create(id, to.address)}`)
      links.push({ id, from: from.index, to: to.index })
    }
    await readdress(join(from.directory, 'cluster.json'), addresses)
  }
  const blocked = new Set<string>()
  const apply = async (): Promise<void> => {
    for (const { id, from, to } of links) {
      const [forward, backward] = [blocked.has(`${from}>${to}`), blocked.has(`${to}>${from}`)]
      await proxies.set(id, {
        blocked: forward && backward ? 'everything' : forward ? 'forward' : backward ? 'backward' : 'nothing',
      })
    }
  }
  return {
    everywhere: async (change) => {
      for (const { id } of links) await proxies.set(id, change)
    },
    block: async (from, to) => {
      blocked.add(`${from}>${to}`)
      await apply()
    },
    partition: async (left, right) => {
      for (const one of left) for (const other of right) blocked.add(`${one}>${other}`).add(`${other}>${one}`)
      await apply()
    },
    heal: async () => {
      blocked.clear()
      await apply()
    },
  }
}

async function readdress(path: string, addresses: ReadonlyMap<number, string>): Promise<void> {
  const file = JSON.parse(await readFile(path, 'utf8')) as { nodes: { index: number; multiaddrs: string[] }[] }
  const nodes = file.nodes.map((node) => ({
    ...node,
    multiaddrs: [addresses.get(node.index) ?? node.multiaddrs[0] ?? ''],
  }))
  await writeFile(path, JSON.stringify({ ...file, nodes }))
}

/** "/ip4/127.0.0.1/tcp/7001" */
export function parseTcpAddress(multiaddr: string): Address {
  const [, , host, , port] = multiaddr.split('/')
  if (host === undefined || port === undefined) throw new Error(`${multiaddr} is no TCP address`)
  return { host, port: Number(port) }
}
