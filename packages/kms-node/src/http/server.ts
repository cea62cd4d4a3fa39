import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import { createServer as createTlsServer, Server as TlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { bytesToHex } from '@noble/hashes/utils.js'
import { KmsError } from '@tkms/dkg'
import type { Clock, Rng } from '../ports.ts'
import { type ConnectionLimits, limitConnections } from './connection-limit.ts'
import { allowOrigin, isPreflight, PREFLIGHT_HEADERS } from './cors.ts'
import { errorBody, HTTP_ERRORS, type HttpErrorCode } from './errors.ts'
import { type MessageSigner, signatureHeaders } from './message-signature.ts'
import { createRouteFinder, type Found } from './find-route.ts'
import type { OperationId } from './operations.ts'
import { callerOf, createRateLimit } from './rate-limit.ts'
import { createRoutes, type Reply, type RoutePorts } from './routes.ts'
import type { TlsPair } from './tls-files.ts'

export interface HttpServerOptions extends RoutePorts {
  readonly host: string
  /** 0 = any free one. */
  readonly port: number
  /** PEM. Absent: plain HTTP, which the configuration admits on loopback only. */
  readonly tls?: TlsPair
  readonly corsOrigins: readonly string[]
  readonly limits: {
    readonly requestsPerSecond: number
    readonly requestBurst: number
    readonly maxHttpConnections: number
    readonly httpRequestTimeoutMs: number
  } & Partial<ConnectionLimits>
  readonly clock: Clock
  readonly rng: Rng
  /** For answers that are signed whole. */
  readonly signer: MessageSigner
  /** Every reply, for the metrics. */
  readonly onReply?: (operation: OperationId | 'none', status: number) => void
  /** A handler failed: this node's fault. */
  readonly onError: (cause: unknown, requestId: string) => void
}

export interface HttpServer {
  /** Resolves when it listens. @throws KmsError `http-listen` */
  start(): Promise<void>
  /** Takes no more requests and resolves when those under way are answered, or cut off after a second. Idempotent. */
  stop(): Promise<void>
  /** For the connections from now on; only where it began with TLS. */
  setTls(pair: TlsPair): void
  /** With the real port, once started. */
  readonly url: string
}

const MAX_HEADER_BYTES = 16 * 1024
const MAX_REQUESTS_PER_SOCKET = 10_000
const MAX_CALLERS = 65_536
const KEEP_ALIVE_MS = 10_000
const DRAIN_MS = 1_000
/** Who asks too often waits this long for the refusal, so that asking at full speed does not keep the node busy refusing. */
const THROTTLE_MS = 250

/** The HTTP API over TLS 1.3, or plain on loopback. Every read is bounded in bytes and time. */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  const server = createListener(options, createRequestListener(options))
  server.maxConnections = options.limits.maxHttpConnections
  server.maxRequestsPerSocket = MAX_REQUESTS_PER_SOCKET
  server.keepAliveTimeout = KEEP_ALIVE_MS
  // Also ends a caller that does not read its answer.
  server.setTimeout(2 * options.limits.httpRequestTimeoutMs)
  server.on('clientError', refuseConnection(options.rng))
  const { maxHttpConnectionsPerAddress, newHttpConnectionsPerSecond } = options.limits
  if (maxHttpConnectionsPerAddress !== undefined && newHttpConnectionsPerSecond !== undefined)
    limitConnections(server, { maxHttpConnectionsPerAddress, newHttpConnectionsPerSecond }, options.clock)
  const scheme = options.tls === undefined ? 'http' : 'https'
  const name = options.host.includes(':') ? `[${options.host}]` : options.host
  let port = options.port
  return {
    get url() {
      return `${scheme}://${name}:${port}`
    },
    setTls: (pair) => {
      if (server instanceof TlsServer) server.setSecureContext({ ...pair, minVersion: 'TLSv1.3' })
    },
    start: () =>
      new Promise<void>((resolve, reject) => {
        // Also later: accepting fails when file descriptors run out, and the node lives on.
        server.on('error', (cause) => {
          if (server.listening) options.onError(cause, '')
          reject(
            new KmsError(
              'http-listen',
              `cannot listen on ${options.host}:${options.port}, see http in node.yaml: ${cause.message}`,
              { cause },
            ),
          )
        })
        server.listen(options.port, options.host, () => {
          port = (server.address() as AddressInfo).port
          resolve()
        })
      }),
    stop: () =>
      new Promise<void>((resolve) => {
        const cutOff = globalThis.setTimeout(() => server.closeAllConnections(), DRAIN_MS)
        server.close(() => {
          clearTimeout(cutOff)
          resolve()
        })
        server.closeIdleConnections()
      }),
  }
}

function createListener({ tls, limits }: HttpServerOptions, listener: RequestListener): Server {
  const timeoutMs = limits.httpRequestTimeoutMs
  const bounds = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: timeoutMs,
    requestTimeout: timeoutMs,
    connectionsCheckingInterval: Math.ceil(timeoutMs / 4),
    insecureHTTPParser: false,
  }
  if (tls === undefined) return createServer(bounds, listener)
  return createTlsServer({ ...bounds, ...tls, minVersion: 'TLSv1.3', handshakeTimeout: timeoutMs }, listener)
}

/** What the parser refused: answered in the one shape where the connection still takes an answer. */
function refuseConnection(rng: Rng): (error: NodeJS.ErrnoException, socket: Socket) => void {
  return (error, socket) => {
    if (!socket.writable || error.code === 'ECONNRESET') {
      socket.destroy()
      return
    }
    const code = PARSER_REFUSALS[error.code ?? ''] ?? 'malformed'
    const requestId = requestIdOf(rng)
    const body = JSON.stringify(errorBody(code, requestId))
    const { status } = HTTP_ERRORS[code]
    const head = [
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
      'Connection: close',
      'Content-Type: application/json; charset=utf-8',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Cache-Control: no-store',
      'X-Content-Type-Options: nosniff',
      `X-Request-Id: ${requestId}`,
    ]
    socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
  }
}

const PARSER_REFUSALS: Readonly<Record<string, HttpErrorCode>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'timeout',
  HPE_HEADER_OVERFLOW: 'headers-too-large',
}

const requestIdOf = (rng: Rng): string => `0x${bytesToHex(rng.bytes(16))}`

function createRequestListener(options: HttpServerOptions): RequestListener {
  const find = createRouteFinder(createRoutes(options))
  const rateLimit = createRateLimit({
    requestsPerSecond: options.limits.requestsPerSecond,
    burst: options.limits.requestBurst,
    maxCallers: MAX_CALLERS,
  })

  const answer = async (request: IncomingMessage, found: Found, signal: AbortSignal): Promise<Reply> => {
    if (found.kind === 'error') return found
    const remote = callerOf(request.socket.remoteAddress ?? '')
    const charge = async (tokens: number): Promise<Reply | undefined> => {
      const retryAfterSeconds = rateLimit.retryAfterSeconds(remote, options.clock.monotonicMs(), tokens)
      if (retryAfterSeconds === 0) return undefined
      await throttle(request.socket, signal)
      return { kind: 'error', code: 'rate-limited', retryAfterSeconds }
    }
    const refusal = found.route.operation.limited ? await charge(1) : undefined
    return refusal ?? found.route.handle({ request, parameters: found.parameters, remote, charge, signal })
  }

  const signature = (body: string, target: string | undefined): Readonly<Record<string, string>> =>
    signatureHeaders(
      { status: 200, target: target ?? '/', body },
      options.signer,
      Math.floor(options.clock.nowMs() / 1000),
    )

  return (request, response) => {
    const requestId = requestIdOf(options.rng)
    const left = new AbortController()
    response.on('close', () => left.abort())
    response.setHeader('x-request-id', requestId)
    for (const [name, value] of allowOrigin(options.corsOrigins, request.headers.origin))
      response.setHeader(name, value)
    if (isPreflight(options.corsOrigins, request)) {
      response.writeHead(204, PREFLIGHT_HEADERS).end()
      return
    }
    const found = find(request.method, request.url)
    const operation = found.kind === 'error' ? 'none' : found.route.id
    const say = (reply: Reply): void => {
      write(request, response, { reply, requestId, signature })
      options.onReply?.(operation, statusOf(reply))
    }
    answer(request, found, left.signal).then(say, (cause: unknown) => {
      if (left.signal.aborted || request.destroyed) return
      options.onError(cause, requestId)
      say({ kind: 'error', code: 'internal' })
    })
  }
}

/** Reads nothing more of a connection for a while. Returns early when the caller goes. */
async function throttle(socket: Socket, signal: AbortSignal): Promise<void> {
  socket.pause()
  await setTimeout(THROTTLE_MS, undefined, { signal }).catch(() => undefined)
  socket.resume()
}

const statusOf = (reply: Reply): number => (reply.kind === 'error' ? HTTP_ERRORS[reply.code].status : 200)

function bodyOf(reply: Reply, requestId: string): { readonly body: string; readonly contentType?: string } {
  if (reply.kind === 'text') return { body: reply.text, contentType: reply.contentType }
  return { body: JSON.stringify(reply.kind === 'ok' ? reply.body : errorBody(reply.code, requestId, reply.details)) }
}

function write(
  request: IncomingMessage,
  response: ServerResponse,
  {
    reply,
    requestId,
    signature,
  }: {
    readonly reply: Reply
    readonly requestId: string
    readonly signature: (body: string, target: string | undefined) => Readonly<Record<string, string>>
  },
): void {
  if (response.destroyed || response.headersSent) return
  const { body, contentType = 'application/json; charset=utf-8' } = bodyOf(reply, requestId)
  response.setHeader('content-type', contentType)
  response.setHeader('cache-control', 'no-store')
  response.setHeader('x-content-type-options', 'nosniff')
  if (reply.kind === 'error' && reply.retryAfterSeconds !== undefined)
    response.setHeader('retry-after', reply.retryAfterSeconds)
  if (reply.kind === 'ok' && reply.signed === true)
    for (const [name, value] of Object.entries(signature(body, request.url))) response.setHeader(name, value)
  // A body that was not read to its end would be taken for the next request.
  if (!request.complete) response.setHeader('connection', 'close')
  response.writeHead(statusOf(reply), { 'content-length': Buffer.byteLength(body) }).end(body)
}
