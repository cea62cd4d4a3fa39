import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { createTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

interface Pair {
  readonly proxy: TcpProxy
  /** The end that connected, and the end that was wanted. */
  readonly near: Socket
  readonly far: Socket
}

/** A server behind a proxy, and one connection through it. */
async function connected(): Promise<Pair> {
  const server: Server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(() => server.close())
  const proxy = await createTcpProxy({ host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  closing.push(() => proxy.close())
  const accepted = once(server, 'connection')
  const near = connect(proxy.port, '127.0.0.1')
  const [far] = (await accepted) as [Socket]
  for (const socket of [near, far]) {
    socket.on('error', () => {})
    closing.push(() => socket.destroy())
  }
  return { proxy, near, far }
}

const received = async (socket: Socket, length: number): Promise<string> => {
  let text = ''
  while (text.length < length) text += String((await once(socket, 'data'))[0])
  return text
}

test('passes both directions, and the end of each', async () => {
  const { near, far } = await connected()
  near.write('ping')
  expect(await received(far, 4)).toBe('ping')
  far.end('pong')
  expect(await received(near, 4)).toBe('pong')
  const gone = once(far, 'close')
  near.end()
  await gone
})

test('delays what crosses it, not longer than it should', async () => {
  const { proxy, near, far } = await connected()
  proxy.set({ delayMs: 150 })
  const startMs = performance.now()
  near.write('late')
  expect(await received(far, 4)).toBe('late')
  expect(performance.now() - startMs).toBeGreaterThanOrEqual(149)
  proxy.set({ delayMs: 0 })
})

test('lets no more through than its bandwidth', async () => {
  const { proxy, near, far } = await connected()
  proxy.set({ bytesPerSecond: 100_000 })
  const startMs = performance.now()
  near.write('x'.repeat(20_000))
  await received(far, 20_000)
  expect(performance.now() - startMs).toBeGreaterThanOrEqual(195)
})

test.for([
  ['forward', ['backward']],
  ['backward', ['forward']],
  ['everything', []],
] as const)('while %s is blocked it waits, then it arrives in order', async ([blocked, passes]) => {
  const { proxy, near, far } = await connected()
  proxy.set({ blocked })
  const arrived: string[] = []
  far.on('data', (chunk: Buffer) => arrived.push(`forward ${chunk.toString()}`))
  near.on('data', (chunk: Buffer) => arrived.push(`backward ${chunk.toString()}`))
  near.write('1')
  far.write('1')
  const probe = await connected()
  probe.near.write('probe')
  await received(probe.far, 5)
  expect(arrived.toSorted()).toEqual(passes.map((direction) => `${direction} 1`))
  const all = Promise.all([once(far, 'end'), once(near, 'end')])
  near.end('2')
  far.end('2')
  proxy.set({ blocked: 'nothing' })
  await all
  for (const direction of ['forward', 'backward'])
    expect(arrived.filter((line) => line.startsWith(direction)).join('')).toMatch(/1.*2$/)
})

test('holds a sender up instead of taking in everything', async () => {
  const { proxy, near, far } = await connected()
  proxy.set({ blocked: 'forward' })
  const chunk = Buffer.alloc(256 * 1024)
  let sent = 0
  while (near.write(chunk) || sent < 8) {
    sent++
    if (sent > 256) throw new Error('it took 64 MiB')
    await new Promise((resolve) => setImmediate(resolve))
  }
  proxy.set({ blocked: 'nothing' })
  let length = 0
  far.on('data', (data: Buffer) => (length += data.length))
  near.end()
  await once(far, 'end')
  expect(length).toBe((sent + 1) * chunk.length)
})

test('cut resets what is open, and takes new connections', async () => {
  const { proxy, near, far } = await connected()
  const gone = Promise.all([near, far].map((socket) => new Promise((resolve) => socket.on('close', resolve))))
  proxy.cut()
  await gone
  const again = connect(proxy.port, '127.0.0.1')
  closing.push(() => again.destroy())
  await once(again, 'connect')
})
