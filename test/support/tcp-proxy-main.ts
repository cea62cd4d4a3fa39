import { type Address, createTcpProxy, type LinkFaults, type TcpProxy } from './tcp-proxy.ts'

/** What a parent asks of the proxies in this process; every order is answered with `{ port }`. */
export type ProxyOrder =
  | { readonly type: 'create'; readonly id: string; readonly target: Address; readonly listen: Address }
  | { readonly type: 'set'; readonly id: string; readonly change: Partial<LinkFaults> }

const proxies = new Map<string, TcpProxy>()

async function obey(order: ProxyOrder): Promise<number> {
  if (order.type === 'create') {
    const proxy = await createTcpProxy(order.target, order.listen)
    proxies.set(order.id, proxy)
    return proxy.port
  }
  const proxy = proxies.get(order.id)
  if (proxy === undefined) throw new Error(`no proxy ${order.id}`)
  // JSON has no infinity.
  const { bytesPerSecond } = order.change
  proxy.set({ ...order.change, ...(bytesPerSecond === null && { bytesPerSecond: Number.POSITIVE_INFINITY }) })
  return proxy.port
}

process.on('message', (order: ProxyOrder) => {
  void obey(order).then((port) => process.send?.({ port }))
})
process.on('disconnect', () => process.exit(0))
process.send?.({ port: 0 })
