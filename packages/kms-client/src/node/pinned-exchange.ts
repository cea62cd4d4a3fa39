import { createHash, timingSafeEqual, X509Certificate } from 'node:crypto'
import { Agent as HttpAgent, type IncomingHttpHeaders, type IncomingMessage, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, type AgentOptions, request as httpsRequest } from 'node:https'
import type { Duplex } from 'node:stream'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { createSlots, type Slots } from './slots.ts'
import {
  headersOf,
  type HttpReply,
  type HttpRequest,
  joinChunks,
  requestFailed,
  transportError,
} from '../transport/exchange.ts'

/** Four times what a node computes for one address at once; further requests wait here. Many more at a time a node would close, unless it is told of them. */
const MAX_SOCKETS_PER_NODE = 16
/** Requests to one node waiting for a connection. */
const MAX_WAITING = 1_024
/** A reply to a request that was given up is awaited so long: its connection is then of use to the next request, which a handshake would hold up. */
const DRAIN_MS = 500
const IDLE_SOCKET_TIMEOUT_MS = 30_000
const MAX_HEADER_BYTES = 16_384
/** Connecting and the TLS handshake together. No request is on the socket yet, so no request's signal ends it. */
const HANDSHAKE_TIMEOUT_MS = 10_000
const POOL: AgentOptions = { keepAlive: true, maxSockets: MAX_SOCKETS_PER_NODE, timeout: IDLE_SOCKET_TIMEOUT_MS }

/** `tkms follow` does not help: a client believes no peer about the address of a node that its cluster file names. */
const OTHER_KEY =
  'the TLS key is not the one in the cluster file: take a newer cluster file of its operator, or somebody stands in between'

type Connected = (error: Error | null, stream: Duplex) => void

/** SHA-256 of the SPKI DER of the certificate a TLS server showed. 32 bytes. */
function presentedKeyHash(socket: TLSSocket): Uint8Array | undefined {
  const raw = socket.getPeerCertificate().raw as Buffer | undefined
  if (raw === undefined) return undefined
  const spki = new X509Certificate(raw).publicKey.export({ type: 'spki', format: 'der' })
  return createHash('sha256').update(spki).digest()
}

/**
 * Connections to one server, known by the hash of its key alone: names, dates and issuers of its certificate mean nothing.
 * The key is compared before a byte of the request is written. Sessions are never resumed, so every handshake shows the key.
 */
class PinnedAgent extends HttpsAgent {
  readonly #pin: Uint8Array
  readonly #handshakeTimeoutMs: number
  readonly #handshaking = new Set<TLSSocket>()

  constructor(pin: Uint8Array, handshakeTimeoutMs: number) {
    super({ ...POOL, maxCachedSessions: 0 })
    this.#pin = pin
    this.#handshakeTimeoutMs = handshakeTimeoutMs
  }

  /** The pool does not know the sockets whose handshake is not finished. */
  override destroy(): void {
    for (const socket of this.#handshaking) socket.destroy(transportError('unreachable', 'the client is closed'))
    super.destroy()
  }

  override createConnection(options: ConnectionOptions, callback?: Connected): Duplex {
    // The chain is not what is trusted here; the pin below is checked instead, for every connection.
    const socket = connect({ ...options, rejectUnauthorized: false, minVersion: 'TLSv1.3' })
    const finished = (): void => {
      clearTimeout(timer)
      this.#handshaking.delete(socket)
    }
    const refuse = (error: Error): void => {
      finished()
      socket.destroy()
      callback?.(error, socket)
    }
    const late = (): void => void socket.destroy(transportError('unreachable', 'the TLS handshake takes too long'))
    const timer = setTimeout(late, this.#handshakeTimeoutMs)
    this.#handshaking.add(socket)
    socket.once('error', refuse)
    socket.once('secureConnect', () => {
      finished()
      socket.removeListener('error', refuse)
      const shown = presentedKeyHash(socket)
      if (shown === undefined || !timingSafeEqual(shown, this.#pin)) refuse(transportError('unreachable', OTHER_KEY))
      else callback?.(null, socket)
    })
    return undefined as unknown as Duplex
  }
}

/** With its headers, names in lower case. */
export interface PinnedReply extends HttpReply {
  readonly headers: IncomingHttpHeaders
}

/** Bounded HTTP over node:http and node:https. Close it to drop its idle connections. */
export interface PinnedExchange {
  readonly exchange: (request: HttpRequest) => Promise<PinnedReply>
  close(): void
}

/**
 * HTTP in which an https server is recognised by `tlsSpkiSha256` where the request carries one, and by public
 * certificates where it does not. A server with another key is `unreachable`. No redirects are followed.
 * @param options.handshakeTimeoutMs for connecting to a pinned server and its TLS handshake together
 */
export function pinnedExchange(options: { readonly handshakeTimeoutMs?: number } = {}): PinnedExchange {
  const handshakeTimeoutMs = options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS
  const plain = new HttpAgent(POOL)
  const publicTls = new HttpsAgent(POOL)
  const pinned = new Map<string, PinnedAgent>()
  const slots = new Map<string, Slots>()

  function agentFor(request: HttpRequest): HttpsAgent {
    if (request.tlsSpkiSha256 === undefined) return publicTls
    const key = Buffer.from(request.tlsSpkiSha256).toString('hex')
    const agent = pinned.get(key) ?? new PinnedAgent(request.tlsSpkiSha256, handshakeTimeoutMs)
    pinned.set(key, agent)
    return agent
  }

  /** The pool counts a connection only once its handshake is over: a burst of requests would open one each. */
  function slotsFor(url: string): Slots {
    const { origin } = new URL(url)
    const places = slots.get(origin) ?? createSlots({ size: MAX_SOCKETS_PER_NODE, maxWaiting: MAX_WAITING })
    slots.set(origin, places)
    return places
  }

  return {
    exchange: (request) =>
      new Promise((resolve, reject) => {
        const agent = request.url.startsWith('https:') ? agentFor(request) : plain
        const work = (): Promise<void> => {
          const { reply, ended } = send(request, agent)
          reply.then(resolve, reject)
          return ended
        }
        slotsFor(request.url).run(request.signal, work).catch(reject)
      }),
    close() {
      for (const agent of [plain, publicTls, ...pinned.values()]) agent.destroy()
    },
  }
}

/**
 * @returns the reply, and when the connection is free again or gone, which is later for a request that is given up
 * @throws Error at once for what is no HTTP request
 */
function send(
  request: HttpRequest,
  agent: HttpAgent,
): { readonly reply: Promise<PinnedReply>; readonly ended: Promise<void> } {
  const { url, method, body, signal, maxReplyBytes } = request
  const open = url.startsWith('https:') ? httpsRequest : httpRequest
  const headers = headersOf(request)
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  const { promise: reply, resolve, reject } = Promise.withResolvers<PinnedReply>()
  const settle = (then: () => void): void => {
    signal.removeEventListener('abort', cancel)
    then()
  }
  const fail = (error: unknown): void => settle(() => reject(requestFailed(error)))
  const cancel = (): void => {
    settle(() => reject(signal.reason as Error))
    if (call.socket?.connecting !== false || !call.writableFinished) return void call.destroy()
    const timer = setTimeout(() => call.destroy(), DRAIN_MS)
    call.once('close', () => clearTimeout(timer))
  }
  const call = open(url, { method, agent, headers, maxHeaderSize: MAX_HEADER_BYTES }, (response) => {
    readBody(response, maxReplyBytes).then(
      (bytes) => settle(() => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: bytes })),
      (error: unknown) => {
        call.destroy()
        fail(error instanceof RangeError ? transportError('bad-reply', error.message) : error)
      },
    )
  })
  signal.addEventListener('abort', cancel, { once: true })
  call.on('error', fail)
  call.once('close', end)
  call.end(body)
  return { reply, ended }
}

/** @throws RangeError for a body that is too long */
async function readBody(response: IncomingMessage, maxReplyBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    length += chunk.length
    if (length > maxReplyBytes) throw new RangeError(`the reply has more than ${maxReplyBytes} bytes`)
    chunks.push(chunk)
  }
  return joinChunks(chunks, length)
}
