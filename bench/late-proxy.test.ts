import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { openLateProxies } from './late-proxy.ts'

describe('openLateProxies', () => {
  it('makes late what one server sends, in its order, and nothing else', async () => {
    const server = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const node = { index: 1, url: `http://127.0.0.1:${port}`, multiaddrs: [`/ip4/127.0.0.1/tcp/${port}`] }
    const proxies = await openLateProxies({ version: 1, nodes: [node] })
    try {
      const { nodes } = proxies.file as { nodes: readonly (typeof node)[] }
      const proxied = Number(new URL(nodes[0]?.url ?? '').port)
      expect(proxied).not.toBe(port)
      expect(nodes[0]?.multiaddrs).toEqual([`/ip4/127.0.0.1/tcp/${proxied}`])
      const socket = connect(proxied, '127.0.0.1')
      const echoMs = async (text: string): Promise<number> => {
        const startMs = performance.now()
        socket.write(text)
        const [echo] = (await once(socket, 'data')) as [Buffer]
        expect(echo.toString()).toBe(text)
        return performance.now() - startMs
      }
      await echoMs('warm')
      proxies.delay(1, 300)
      // The order to be late overtakes nothing: the proxy has it once an answer is late.
      let tookMs = 0
      for (let n = 0; tookMs < 300 && n < 1_000; n++) tookMs = await echoMs(`late ${n}`)
      expect(tookMs).toBeGreaterThanOrEqual(300)
      socket.destroy()
    } finally {
      proxies.stop()
      server.close()
    }
  })
})
