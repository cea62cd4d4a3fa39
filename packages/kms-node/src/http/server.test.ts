import { createHash } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { once } from 'node:events'
import { formatAuthorization, type KeyId, parseAnswer } from '@tkms/dkg'
import { bytesToHex } from '@noble/hashes/utils.js'
import { afterEach, describe, expect, it } from 'vitest'
import { createTlsIdentity } from '../identity/tls-certificate.ts'
import type { KeyDescription } from '../keys/describe-key.ts'
import type { KeyDirectory } from '../keys/key-directory.ts'
import {
  authorize,
  clock,
  createTestPipeline,
  index,
  keyId,
  requestOf,
  sharingId,
  verifiedKey,
} from '../serve/pipeline.fixture.ts'
import type { DelegationCall, DelegationPipeline } from '../serve/pipeline.ts'
import { MAX_BODY_BYTES } from './body.ts'
import { serverOptions } from './server.fixture.ts'
import { createHttpServer, type HttpServer, type HttpServerOptions } from './server.ts'

const served = verifiedKey()
const { pipeline, dryRun } = createTestPipeline()
const description: KeyDescription = {
  keyId: `0x${bytesToHex(keyId)}`,
  keyName: served.keyName,
  purpose: served.purpose,
  generation: 1,
  epoch: 3,
  attempt: 0,
  sharingId: `0x${bytesToHex(sharingId)}`,
  threshold: 2,
  publicKey: `0x${bytesToHex(served.groupKey)}`,
  index,
  serving: true,
  role: 'active',
  certificate: '0x01',
  sharings: [],
}
const isKey = (id: KeyId): boolean => bytesToHex(id) === bytesToHex(keyId)
const keys: KeyDirectory = {
  list: () => [description],
  get: (id) => (isKey(id) ? description : undefined),
  chain: (id, above) =>
    isKey(id)
      ? { keyId: description.keyId, latest: { epoch: 3, attempt: 0 }, certificates: [`0x${above ?? 'all'}`] }
      : undefined,
  problem: () => undefined,
}

const running: HttpServer[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.stop()))
})

async function serve(overrides: Partial<HttpServerOptions> = {}): Promise<string> {
  const server = createHttpServer(serverOptions({ pipeline, dryRun, keys, ...overrides }))
  running.push(server)
  await server.start()
  return server.url
}
const post = (
  url: string,
  body: string,
  headers: Record<string, string> = { 'content-type': 'application/json' },
): Promise<Response> => fetch(`${url}/v1/delegate`, { method: 'POST', body, headers })
const codeOf = async (response: Response): Promise<[number, string]> => {
  const body = (await response.json()) as { error: { code: string; requestId: string } }
  expect(body.error.requestId).toBe(response.headers.get('x-request-id'))
  return [response.status, body.error.code]
}
const raw = async (url: string, text: string): Promise<{ socket: Socket; received: Promise<string> }> => {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  await once(socket, 'connect')
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => undefined)
  socket.write(text)
  return { socket, received: once(socket, 'close').then(() => Buffer.concat(chunks).toString()) }
}

describe('HTTP API', () => {
  it('serves health, readiness, status, cluster and keys', async () => {
    const url = await serve()
    expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: 'ok' })
    expect(await (await fetch(`${url}/ready`)).json()).toEqual({ status: 'ready' })
    expect(await (await fetch(`${url}/v1/status`)).json()).toMatchObject({ version: '0' })
    expect(await (await fetch(`${url}/v1/cluster`)).json()).toMatchObject({ version: 1, threshold: 2 })
    const key = await fetch(`${url}/v1/keys/0x${bytesToHex(keyId)}`)
    expect(await key.json()).toMatchObject({ sharingId: `0x${bytesToHex(sharingId)}`, keyName: 'ecies/1', index })
    expect(await codeOf(await fetch(`${url}/v1/keys/${'00'.repeat(32)}`))).toEqual([404, 'unknown-key'])
    const chain = `${url}/v1/keys/0x${bytesToHex(keyId)}/certificates`
    expect(await (await fetch(chain)).json()).toMatchObject({ latest: { epoch: 3 }, certificates: ['0xall'] })
    expect(await (await fetch(`${chain}?above=2`)).json()).toMatchObject({ certificates: ['0x2'] })
    expect(await codeOf(await fetch(`${chain}?above=-1`))).toEqual([400, 'malformed'])
    expect(await codeOf(await fetch(chain.replace(/0x./, (digit) => (digit === '0x0' ? '0x1' : '0x0'))))).toEqual([
      404,
      'unknown-key',
    ])
  })

  it('is not ready while something is wrong', async () => {
    const url = await serve({ readiness: { problems: async () => ['no-key', 'disk-full'] } })
    const response = await fetch(`${url}/ready`)
    expect(response.status).toBe(503)
    expect(await response.json()).toMatchObject({
      error: { code: 'not-ready', details: { problems: ['no-key', 'disk-full'] } },
    })
  })

  it('answers a delegation', async () => {
    const url = await serve()
    const request = requestOf()
    const response = await post(url, JSON.stringify(formatAuthorization(authorize(request))))
    expect(response.status).toBe(200)
    expect(parseAnswer(await response.json())).toMatchObject({ index, requestId: request.requestId })
  })

  it('tells the pipeline the address and the hash of a bearer token, and refuses one that is malformed', async () => {
    const calls: DelegationCall[] = []
    const watching: DelegationPipeline = {
      underWay: 0,
      handle: (authorization, call) => {
        calls.push(call)
        return pipeline.handle(authorization, call)
      },
    }
    const url = await serve({ pipeline: watching })
    const body = (): string => JSON.stringify(formatAuthorization(authorize(requestOf())))
    const headers = { 'content-type': 'application/json' }
    expect((await post(url, body(), { ...headers, authorization: 'Bearer secret-token' })).status).toBe(200)
    expect((await post(url, body(), headers)).status).toBe(200)
    expect(await codeOf(await post(url, body(), { ...headers, authorization: 'Bearer' }))).toEqual([400, 'malformed'])
    const tokenHash = new Uint8Array(createHash('sha256').update('secret-token').digest())
    expect(calls).toMatchObject([{ address: '127.0.0.1', tokenHash }, { address: '127.0.0.1' }])
    expect(calls[1]).not.toHaveProperty('tokenHash')
  })

  it('refuses in one shape, without a word of anybody else', async () => {
    const url = await serve()
    expect(await codeOf(await fetch(`${url}/nothing`))).toEqual([404, 'not-found'])
    expect(await codeOf(await fetch(`${url}/health`, { method: 'POST' }))).toEqual([405, 'method-not-allowed'])
    expect(await codeOf(await post(url, '{}', { 'content-type': 'text/plain' }))).toEqual([
      415,
      'unsupported-media-type',
    ])
    expect(await codeOf(await post(url, '{"payload":'))).toEqual([400, 'malformed'])
    expect(await codeOf(await post(url, '{"payload":"0x00"}'))).toEqual([400, 'malformed'])
    const forged = { ...authorize(requestOf()), signature: new Uint8Array(64) }
    expect(await codeOf(await post(url, JSON.stringify(formatAuthorization(forged))))).toEqual([401, 'bad-signature'])
    const late = authorize(requestOf({ notBefore: 1_700_000_000, expiresAt: 1_700_000_060 }))
    const response = await post(url, JSON.stringify(formatAuthorization(late)))
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({
      error: { code: 'clock-skew', retryable: false, details: { skewSeconds: 99_999_940 } },
    })
  })

  it('refuses a body that is too large, announced or not', async () => {
    const url = await serve()
    const head = 'POST /v1/delegate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
    const announced = await raw(url, `${head}Content-Length: ${MAX_BODY_BYTES + 1}\r\n\r\n`)
    expect(await announced.received).toMatch(/^HTTP\/1.1 413 /)
    const sent = await raw(url, `${head}Transfer-Encoding: chunked\r\n\r\n${(MAX_BODY_BYTES + 1).toString(16)}\r\n`)
    sent.socket.write('x'.repeat(MAX_BODY_BYTES + 1))
    expect(await sent.received).toMatch(/^HTTP\/1.1 413 /)
  })

  it('ends slow and malformed callers and goes on serving', async () => {
    const url = await serve()
    const slowHead = await raw(url, 'GET /health HTTP/1.1\r\nHost:')
    const slowBody = await raw(
      url,
      'POST /v1/delegate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{',
    )
    const nonsense = await raw(url, '\u0016\u0003\u0001 not http\r\n\r\n')
    const longHead = await raw(url, `GET /health HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`)
    expect(await slowHead.received).toMatch(/^HTTP\/1.1 408 /)
    expect(await slowBody.received).toMatch(/^HTTP\/1.1 408 /)
    expect(await nonsense.received).toMatch(/^HTTP\/1.1 400 /)
    expect(await longHead.received).toMatch(/^HTTP\/1.1 431 /)
    expect((await fetch(`${url}/health`)).status).toBe(200)
  })

  it('limits the rate per address, health excepted', async () => {
    const limits = { requestsPerSecond: 1, requestBurst: 2, maxHttpConnections: 64, httpRequestTimeoutMs: 400 }
    const url = await serve({ limits })
    const statuses: number[] = []
    for (let n = 0; n < 3; n++) statuses.push((await fetch(`${url}/v1/status`)).status)
    expect(statuses).toEqual([200, 200, 429])
    const startMs = performance.now()
    const refused = await fetch(`${url}/v1/status`)
    expect(performance.now() - startMs).toBeGreaterThan(200)
    expect(refused.headers.get('retry-after')).toBe('1')
    expect((await fetch(`${url}/health`)).status).toBe(200)
  })

  it('gives one address its part of the connections and no more, and others theirs', async () => {
    const part = { maxHttpConnectionsPerAddress: 2, newHttpConnectionsPerSecond: 1 }
    const limits = {
      requestsPerSecond: 1,
      requestBurst: 9,
      maxHttpConnections: 64,
      httpRequestTimeoutMs: 2_000,
      ...part,
    }
    let nowMs = 0
    const url = await serve({ limits, clock: { nowMs: clock.nowMs, monotonicMs: () => nowMs } })
    const dial = async (localAddress: string): Promise<Socket> => {
      const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', localAddress })
      socket.on('error', () => socket.destroy())
      await once(socket, 'connect')
      socket.write('GET /health HTTP/1.1\r\nHost: x\r\n\r\n')
      return socket
    }
    const served = async (socket: Socket): Promise<boolean> =>
      Promise.race([once(socket, 'data').then(() => true), once(socket, 'close').then(() => false)])
    const own = [await dial('127.0.0.2'), await dial('127.0.0.2')]
    expect(await Promise.all(own.map(served))).toEqual([true, true])
    nowMs = 60_000
    expect(await served(await dial('127.0.0.2'))).toBe(false)
    const other = await dial('127.0.0.3')
    expect(await served(other)).toBe(true)
    for (const socket of own) {
      socket.destroy()
      await once(socket, 'close')
    }
    const again: boolean[] = []
    for (let n = 0; n < 4; n++) {
      const socket = await dial('127.0.0.2')
      again.push(await served(socket))
      socket.destroy()
    }
    expect(again).toEqual([true, true, false, false])
    other.destroy()
  })

  it('lets only configured origins in', async () => {
    const origin = 'https://app.example.org'
    const preflight = (url: string): Promise<Response> =>
      fetch(`${url}/v1/delegate`, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST' } })
    const closed = await serve()
    expect((await preflight(closed)).status).toBe(405)
    expect((await fetch(`${closed}/health`, { headers: { origin } })).headers.has('access-control-allow-origin')).toBe(
      false,
    )
    const open = await serve({ corsOrigins: [origin] })
    expect((await preflight(open)).status).toBe(204)
    expect((await fetch(`${open}/health`, { headers: { origin } })).headers.get('access-control-allow-origin')).toBe(
      origin,
    )
    const other = { origin: 'https://evil.example.org' }
    expect((await fetch(`${open}/health`, { headers: other })).headers.has('access-control-allow-origin')).toBe(false)
  })

  it('speaks TLS 1.3 and nothing older, with the certificate that init makes', async () => {
    const identity = await createTlsIdentity('alice', ['127.0.0.1'], Date.now())
    const tls = { key: identity.key.use((pem) => Buffer.from(pem).toString()), cert: identity.cert }
    const url = await serve({ tls })
    const dial = async (maxVersion: 'TLSv1.2' | 'TLSv1.3', ca = tls.cert): Promise<string | null> => {
      const socket = connectTls({ port: Number(new URL(url).port), host: '127.0.0.1', ca, maxVersion })
      await once(socket, 'secureConnect')
      const protocol = socket.getProtocol()
      socket.destroy()
      return protocol
    }
    expect(await dial('TLSv1.3')).toBe('TLSv1.3')
    const next = await createTlsIdentity('alice', ['127.0.0.1'], Date.now())
    running.at(-1)?.setTls({ key: next.key.use((pem) => Buffer.from(pem).toString()), cert: next.cert })
    expect(await dial('TLSv1.3', next.cert)).toBe('TLSv1.3')
    await expect(dial('TLSv1.3')).rejects.toThrow(/self-signed/)
    await expect(dial('TLSv1.2', next.cert)).rejects.toThrow(/protocol version/)
  })

  it('says when it cannot listen', async () => {
    const url = await serve()
    await expect(serve({ port: Number(new URL(url).port) })).rejects.toMatchObject({ code: 'http-listen' })
    running.pop()
  })
})
