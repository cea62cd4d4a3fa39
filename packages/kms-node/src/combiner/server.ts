import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { KmsError } from '@tkms/dkg'
import { createBodyReader } from '../http/read-body.ts'
import type { Clock } from '../ports.ts'
import type { DelegateCall } from './delegate.ts'
import { createHttpMetrics } from './http-metrics.ts'
import { jsonReply, type Reply, storageError, textReply } from './reply.ts'

export interface CombinerServerOptions {
  readonly host: string
  /** 0 = any free one. */
  readonly port: number
  readonly maxConnections: number
  /** A request's headers, and its whole body, must be in within this time. */
  readonly requestTimeoutMs: number
  readonly delegate: (call: DelegateCall) => Promise<Reply>
  readonly clock: Clock
  /** A handler failed: our own fault. */
  readonly onError: (cause: unknown) => void
}

export interface CombinerServer {
  /** Resolves when it listens. @throws KmsError `http-listen` */
  start(): Promise<void>
  /** Takes no more requests and resolves when those under way are answered, or cut off after a second. Idempotent. */
  stop(): Promise<void>
  /** With the real port, once started. */
  readonly url: string
}

interface Route {
  readonly methods: readonly string[]
  readonly handle: (request: IncomingMessage, signal: AbortSignal) => Promise<Reply> | Reply
}

/** As the single-key service has it. */
const MAX_BODY_BYTES = 2 * 1024 * 1024
const MAX_HEADER_BYTES = 16 * 1024
const KEEP_ALIVE_MS = 75_000
/** Ends a caller that does not read its answer; above the longest time a call can take. */
const IDLE_MS = 180_000
const DRAIN_MS = 1_000
const READ = ['GET', 'HEAD']

/** The HTTP API of the single-key service (interop 1.1), in plain HTTP as there: nothing that it carries is secret without it. */
export function createCombinerServer(options: CombinerServerOptions): CombinerServer {
  const server = listen(options)
  const host = options.host.includes(':') ? `[${options.host}]` : options.host
  let { port } = options
  return {
    get url() {
      return `http://${host}:${port}`
    },
    start: () =>
      new Promise<void>((resolve, reject) => {
        server.on('error', (cause) => {
          if (server.listening) options.onError(cause)
          reject(new KmsError('http-listen', `cannot listen on ${host}:${options.port}: ${cause.message}`, { cause }))
        })
        server.listen(options.port, options.host, () => {
          port = (server.address() as AddressInfo).port
          resolve()
        })
      }),
    stop: () =>
      new Promise<void>((resolve) => {
        const cutOff = setTimeout(() => server.closeAllConnections(), DRAIN_MS)
        server.close(() => {
          clearTimeout(cutOff)
          resolve()
        })
        server.closeIdleConnections()
      }),
  }
}

function listen(options: CombinerServerOptions): Server {
  const { requestTimeoutMs } = options
  const answer = createRouter(options)
  const bounds = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: requestTimeoutMs,
    requestTimeout: requestTimeoutMs,
    connectionsCheckingInterval: Math.ceil(requestTimeoutMs / 4),
    keepAliveTimeout: KEEP_ALIVE_MS,
  }
  const server = createServer(bounds, (request, response) => {
    const left = new AbortController()
    response.on('close', () => left.abort())
    answer(request, left.signal).then(
      (reply) => write(request, response, reply),
      (cause: unknown) => {
        if (left.signal.aborted || request.destroyed) return
        options.onError(cause)
        write(request, response, storageError('the combiner failed to answer'))
      },
    )
  })
  server.maxConnections = options.maxConnections
  server.setTimeout(IDLE_MS)
  return server
}

function createRouter(
  options: CombinerServerOptions,
): (request: IncomingMessage, signal: AbortSignal) => Promise<Reply> {
  const { clock } = options
  const metrics = createHttpMetrics()
  const readBody = createBodyReader({ maxBytes: MAX_BODY_BYTES })
  const routes: Readonly<Record<string, Route>> = {
    '/': {
      methods: READ,
      handle: () => jsonReply({ service: 'nox-kms', timestamp: new Date(clock.nowMs()).toISOString() }),
    },
    '/health': { methods: READ, handle: () => jsonReply({ status: 'ok' }) },
    '/metrics': { methods: READ, handle: () => textReply(metrics.text()) },
    '/v0/delegate': {
      methods: ['POST'],
      handle: (request, signal) =>
        options.delegate({
          search: (request.url ?? '').split('?').slice(1).join('?'),
          contentType: request.headers['content-type'],
          authorization: request.headers.authorization,
          body: () => readBody(request),
          signal,
        }),
    },
  }

  const handle = async (route: Route | undefined, request: IncomingMessage, signal: AbortSignal): Promise<Reply> => {
    if (route === undefined) return jsonReply({ error: `Route not found ${pathOf(request)}` }, 404)
    if (route.methods.includes(request.method ?? '')) return route.handle(request, signal)
    return { status: 405, body: '', headers: { allow: route.methods.join(',') } }
  }

  return async (request, signal) => {
    const path = pathOf(request)
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined
    const endpoint = route === undefined ? (path.startsWith('/v0/') ? '/v0/*' : undefined) : path
    if (endpoint === undefined) return handle(route, request, signal)
    const { method = '' } = request
    const startedMs = clock.monotonicMs()
    let status = 500
    metrics.begin({ method, endpoint })
    try {
      const reply = await handle(route, request, signal)
      status = reply.status
      return reply
    } finally {
      metrics.end({ method, endpoint, status, seconds: (clock.monotonicMs() - startedMs) / 1000 })
    }
  }
}

const pathOf = ({ url = '' }: IncomingMessage): string => url.split('?')[0] ?? ''

function write(request: IncomingMessage, response: ServerResponse, reply: Reply): void {
  if (response.destroyed || response.headersSent) return
  if (reply.contentType !== undefined) response.setHeader('content-type', reply.contentType)
  response.setHeader('cache-control', 'no-store')
  // A body that was not read to its end would be taken for the next request.
  if (!request.complete) response.setHeader('connection', 'close')
  const { status, body, headers = {} } = reply
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body)
}
