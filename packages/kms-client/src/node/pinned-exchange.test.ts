import { type AddressInfo, createServer, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { startTestServer, type TestServer } from './testing/test-http.ts'
import { createTestTls } from './testing/test-tls.ts'
import { type PinnedExchange, pinnedExchange } from './pinned-exchange.ts'

const signal = new AbortController().signal
const tls = createTestTls()
let server: TestServer | undefined
let door: PinnedExchange | undefined

afterEach(async () => {
  door?.close()
  await server?.close()
})

/** Accepts connections and never says a word. */
async function startSilentServer(): Promise<{ readonly port: number; readonly left: Promise<void>; close(): void }> {
  const { promise: left, resolve } = Promise.withResolvers<void>()
  const listening = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('close', () => resolve())
    socket.resume()
  })
  await new Promise<void>((started) => listening.listen(0, '127.0.0.1', started))
  return { port: (listening.address() as AddressInfo).port, left, close: () => void listening.close() }
}

describe('pinnedExchange', () => {
  it('gives up a TLS handshake that does not end, with its socket', async () => {
    const silent = await startSilentServer()
    door = pinnedExchange({ handshakeTimeoutMs: 50 })
    const url = `https://127.0.0.1:${silent.port}/`
    const call = door.exchange({ url, method: 'GET', signal, maxReplyBytes: 100, tlsSpkiSha256: tls.spkiSha256 })
    await expect(call).rejects.toMatchObject({ code: 'unreachable' })
    await silent.left
    silent.close()
  })

  it('keeps no socket once it is closed, also in the middle of a handshake', async () => {
    const silent = await startSilentServer()
    door = pinnedExchange()
    const url = `https://127.0.0.1:${silent.port}/`
    const cancelled = AbortSignal.timeout(50)
    const pin = { tlsSpkiSha256: tls.spkiSha256 }
    const call = door.exchange({ url, method: 'GET', signal: cancelled, maxReplyBytes: 100, ...pin })
    await expect(call).rejects.toMatchObject({ name: 'TimeoutError' })
    door.close()
    await silent.left
    silent.close()
  })

  it('knows a server by its key, whatever its certificate says', async () => {
    server = await startTestServer((request, response) => response.writeHead(201).end(request.method), tls)
    door = pinnedExchange()
    const url = `https://127.0.0.1:${server.port}/`
    const request = {
      url,
      method: 'POST',
      body: '{}',
      signal,
      maxReplyBytes: 100,
      tlsSpkiSha256: tls.spkiSha256,
    } as const
    for (let round = 0; round < 2; round++) {
      const reply = await door.exchange(request)
      expect([reply.status, new TextDecoder().decode(reply.body)]).toEqual([201, 'POST'])
    }
  })

  it.each([
    ['another key', new Uint8Array(32), /TLS key is not the one in the cluster file/],
    ['no pin and no public certificate', undefined, /\(DEPTH_ZERO_SELF_SIGNED_CERT\)/],
  ])('sends nothing to a server with %s, and says so', async (_, tlsSpkiSha256, message) => {
    let heard = 0
    server = await startTestServer((_request, response) => {
      heard += 1
      response.end()
    }, tls)
    door = pinnedExchange()
    const url = `https://127.0.0.1:${server.port}/`
    const pin = tlsSpkiSha256 === undefined ? {} : { tlsSpkiSha256 }
    await expect(door.exchange({ url, method: 'GET', signal, maxReplyBytes: 100, ...pin })).rejects.toMatchObject({
      code: 'unreachable',
      retryable: true,
      message: expect.stringMatching(message) as unknown,
    })
    expect(heard).toBe(0)
  })

  it('drops a reply that is too long', async () => {
    server = await startTestServer((_request, response) => response.end('x'.repeat(101)))
    door = pinnedExchange()
    const url = `http://127.0.0.1:${server.port}/`
    await expect(door.exchange({ url, method: 'GET', signal, maxReplyBytes: 100 })).rejects.toMatchObject({
      code: 'bad-reply',
    })
  })

  it('stops when its signal fires', async () => {
    const controller = new AbortController()
    server = await startTestServer(() => controller.abort(new Error('enough')))
    door = pinnedExchange()
    const url = `http://127.0.0.1:${server.port}/`
    const call = door.exchange({ url, method: 'GET', signal: controller.signal, maxReplyBytes: 100 })
    await expect(call).rejects.toThrow('enough')
  })

  it('keeps the connection of a request that is given up while its reply is on its way', async () => {
    const { promise: asked, resolve: ask } = Promise.withResolvers<() => void>()
    const sockets = new Set<unknown>()
    server = await startTestServer((request, response) => {
      sockets.add(request.socket)
      if (request.url === '/first') ask(() => response.end('late'))
      else response.end('second')
    }, tls)
    door = pinnedExchange()
    const url = `https://127.0.0.1:${server.port}`
    const request = { method: 'GET', maxReplyBytes: 100, tlsSpkiSha256: tls.spkiSha256 } as const
    const controller = new AbortController()
    const first = door.exchange({ ...request, url: `${url}/first`, signal: controller.signal })
    const reply = await asked
    controller.abort(new Error('enough'))
    await expect(first).rejects.toThrow('enough')
    reply()
    await door.exchange({ ...request, url: `${url}/second`, signal })
    await door.exchange({ ...request, url: `${url}/third`, signal })
    // The second may come before the reply to the first is there; the third finds both connections free.
    expect(sockets.size).toBeLessThanOrEqual(2)
    expect([...sockets].every((socket) => !(socket as Socket).destroyed)).toBe(true)
  })

  it('leaves a connection whose reply does not come after all', async () => {
    const { promise: left, resolve: leave } = Promise.withResolvers<number>()
    const { promise: asked, resolve: ask } = Promise.withResolvers<void>()
    server = await startTestServer((request) => {
      const startMs = performance.now()
      request.socket.once('close', () => leave(performance.now() - startMs))
      ask()
    }, tls)
    door = pinnedExchange()
    const controller = new AbortController()
    const url = `https://127.0.0.1:${server.port}/`
    const pin = { tlsSpkiSha256: tls.spkiSha256 }
    const call = door.exchange({ url, method: 'GET', signal: controller.signal, maxReplyBytes: 100, ...pin })
    await asked
    controller.abort(new Error('enough'))
    await expect(call).rejects.toThrow('enough')
    expect(await left).toBeGreaterThan(300)
  })

  it('opens few connections to one server, however much is asked at once', async () => {
    const sockets = new Set<unknown>()
    server = await startTestServer((request, response) => {
      sockets.add(request.socket)
      setImmediate(() => response.end('x'))
    }, tls)
    door = pinnedExchange()
    const { exchange } = door
    const url = `https://127.0.0.1:${server.port}/`
    const pin = { tlsSpkiSha256: tls.spkiSha256 }
    await Promise.all(
      Array.from({ length: 64 }, () => exchange({ url, method: 'GET', signal, maxReplyBytes: 100, ...pin })),
    )
    expect(sockets.size).toBeLessThanOrEqual(16)
  })

  it('keeps no place for what cannot be sent', async () => {
    server = await startTestServer((_request, response) => response.end('x'))
    const { exchange } = (door = pinnedExchange())
    const request = { url: `http://127.0.0.1:${server.port}/`, method: 'GET', signal, maxReplyBytes: 100 } as const
    for (let n = 0; n < 64; n++)
      await expect(exchange({ ...request, token: 'two\nlines' })).rejects.toThrow('Invalid character')
    await expect(exchange(request)).resolves.toMatchObject({ status: 200 })
  })
})
