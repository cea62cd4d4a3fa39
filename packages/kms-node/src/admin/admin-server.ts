import { chmod } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { KmsError, Secret } from '@tkms/dkg'
import { MAX_BODY_BYTES as MAX_HTTP_BODY_BYTES } from '../http/body.ts'
import { isKmsError } from '../errors.ts'
import { z } from 'zod'
import type { Report } from '../attest/report.ts'
import { askQuote } from './attestation-route.ts'
import type { Audit } from '../audit/open-audit.ts'
import type { CeremonyService } from '../ceremony/service.ts'
import type { CeremonyStatus } from '../ceremony/status.ts'
import type { ClusterOperations } from '../cluster/update-cluster.ts'
import type { KeyCare } from '../key-care.ts'
import { archiveAudit, describeAudit, streamRecords } from './audit-routes.ts'
import type { MadeBackup } from '../backup/create-backup.ts'
import { routeKeyCare } from './key-care-routes.ts'
import { type PolicyOperations, routePolicy } from './policy-routes.ts'
import {
  approveSchema,
  backupSchema,
  importSchema,
  proposeSchema,
  removeSchema,
  type UpdateInput,
  updateSchema,
} from './schemas.ts'
import { placeSocket, type SocketPlace } from './socket-path.ts'

const MAX_BODY_BYTES = 16 * 1024
/** A request as transports take it, and a little beside it. */
const MAX_AUTHORIZATION_BYTES = MAX_HTTP_BODY_BYTES + 4096
const KEY_BYTES = 32
const REQUEST_TIMEOUT_MS = 10_000
const MAX_CONNECTIONS = 32
/** Events that a watcher has not read yet; a slower one is cut off. */
const MAX_WATCH_BUFFER_BYTES = 1024 * 1024

export interface AdminServerParams {
  readonly dataDir: string
  /** From the configuration. */
  readonly socketPath: string
  readonly ceremonies: CeremonyService
  /** JSON-able; public posture. */
  readonly status: () => unknown
  readonly keys: () => unknown
  readonly cluster: ClusterOperations
  readonly care: KeyCare
  readonly audit: Audit
  readonly asking: PolicyOperations
  readonly attestation: Report
  /** Of this node, for `age1..` recipients. */
  readonly backup: (recipients: readonly string[]) => Promise<MadeBackup>
  /** The index of a node by its name in the cluster file. */
  readonly indexOf: (name: string) => number | undefined
  /** For the log: a request that failed on our side. */
  readonly onInternalError: (cause: unknown) => void
}

/** What the node's operator can do, over HTTP on a Unix socket that only this user can open. */
export interface AdminServer {
  start(): Promise<void>
  stop(): Promise<void>
}

/**
 * GET /status, /keys, /ceremonies, /watch (one JSON object per line); POST /cluster/update, /cluster/remove, /ceremonies (propose), /imports?keyName=.. with the key
 * itself as 32 bytes of body, /ceremonies/ID/approve, /ceremonies/ID/abandon.
 * GET /attestation/NONCE: a quote of this node.
 * POST /backups: an encrypted backup of this node, in base64.
 * Repairs and the destruction of keys: `routeKeyCare`; the policy: `routePolicy`.
 * Errors: {"error": {"code", "message", "data"}} with our own messages.
 */
export function createAdminServer(params: AdminServerParams): AdminServer {
  const { ceremonies } = params
  let place: SocketPlace | undefined
  let server: Server | undefined

  const route = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://admin')
    const [, head = '', id = '', action = ''] = pathname.split('/')
    const asked = `${request.method ?? ''} ${[head, id && ':id', action].filter(Boolean).join('/')}`
    switch (asked) {
      case 'GET status':
        return reply(response, 200, params.status())
      case 'GET keys':
        return reply(response, 200, params.keys())
      case 'GET ceremonies':
        return reply(response, 200, ceremonies.list())
      case 'GET ceremonies/:id':
        return reply(response, 200, ceremonies.find(decodeURIComponent(id)))
      case 'POST ceremonies':
        return reply(response, 201, await ceremonies.propose(proposeSchema.parse(await readJson(request))))
      case 'POST imports':
        return reply(response, 201, await proposeImport(ceremonies, searchParams, request))
      case 'POST ceremonies/:id/approve':
        return reply(
          response,
          200,
          await ceremonies.approve(decodeURIComponent(id), approveSchema.parse(await readJson(request))),
        )
      case 'POST ceremonies/:id/abandon':
        return reply(response, 200, await ceremonies.abandon(decodeURIComponent(id)))
      case 'POST cluster/:id':
        return reply(response, 200, await changeCluster(params.cluster, id, await readJson(request)))
      case 'GET attestation/:id':
        return reply(response, 200, await askQuote(params.attestation, id))
      case 'POST backups':
        return reply(response, 200, await makeBackup(params, await readJson(request)))
      case 'GET policy':
      case 'POST policy/:id':
        return reply(
          response,
          200,
          await changePolicy(`${request.method} ${[head, id].filter(Boolean).join('/')}`, request, response),
        )
      case 'GET audit':
        return reply(response, 200, describeAudit(params.audit))
      case 'GET audit/:id':
        if (id === 'records') return streamRecords(params.audit, searchParams, response)
        throw new KmsError('not-found', 'the admin socket has no such action')
      case 'POST audit/:id':
        if (id === 'archive') return reply(response, 200, await archiveAudit(params.audit, await readJson(request)))
        throw new KmsError('not-found', 'the admin socket has no such action')
      case 'GET watch':
        return watch(ceremonies, response)
      default:
        return reply(response, 200, await routeCare(asked, decodeURIComponent(id), request))
    }
  }

  const changePolicy = async (asked: string, request: IncomingMessage, response: ServerResponse): Promise<unknown> => {
    const left = new AbortController()
    response.once('close', () => left.abort())
    const readBody = (): Promise<unknown> => readJson(request, MAX_AUTHORIZATION_BYTES)
    return routePolicy(params.asking, { asked, readBody, signal: left.signal })
  }

  const routeCare = async (asked: string, id: string, request: IncomingMessage): Promise<unknown> => {
    const call = { asked, id, readBody: () => readJson(request) }
    const done = await routeKeyCare(params.care, params.indexOf, call)
    if (done === undefined) throw new KmsError('not-found', 'the admin socket has no such action')
    return done
  }

  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    route(request, response).catch((cause: unknown) => {
      const { status, code, message, data } = describeError(cause)
      if (status === 500) params.onInternalError(cause)
      if (response.headersSent) response.destroy()
      else reply(response, status, { error: { code, message, data } })
    })
  }

  return {
    start: async () => {
      place = await placeSocket(params.dataDir, params.socketPath)
      const { path } = place
      server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS }, answer)
      server.maxConnections = MAX_CONNECTIONS
      const listening = server
      await new Promise<void>((resolve, reject) => {
        listening.on('error', (cause) => {
          if (listening.listening) params.onInternalError(cause)
          reject(cause)
        })
        listening.listen(path, resolve)
      })
      await chmod(path, 0o600)
    },
    stop: async () => {
      const stopping = server
      server = undefined
      if (stopping !== undefined)
        await new Promise<void>((resolve) => {
          stopping.close(() => resolve())
          stopping.closeAllConnections()
        })
      await place?.release()
    },
  }
}

async function makeBackup({ backup }: AdminServerParams, body: unknown): Promise<unknown> {
  const { bytes, leftOut } = await backup(backupSchema.parse(body).recipients)
  return { backup: Buffer.from(bytes).toString('base64'), leftOut }
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(`${JSON.stringify(body)}\n`)
}

/** The state of every ceremony, then every change, until the caller goes. */
function watch(ceremonies: CeremonyService, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  const send = (status: CeremonyStatus): void => {
    if (response.writableLength > MAX_WATCH_BUFFER_BYTES) response.destroy()
    else response.write(`${JSON.stringify(status)}\n`)
  }
  for (const status of ceremonies.list()) send(status)
  response.once('close', ceremonies.subscribe(send))
}

const updateCluster = (cluster: ClusterOperations, { file, acceptConfigHashes }: UpdateInput): Promise<unknown> =>
  cluster.update(
    file,
    acceptConfigHashes.map((text) => Uint8Array.from(Buffer.from(text.slice(2), 'hex'))),
  )

async function changeCluster(cluster: ClusterOperations, action: string, body: unknown): Promise<unknown> {
  if (action === 'update') return await updateCluster(cluster, updateSchema.parse(body))
  if (action === 'remove') return await cluster.remove(removeSchema.parse(body).name)
  throw new KmsError('not-found', 'the admin socket has no such action')
}

/** The key never becomes a string; every buffer it came in is wiped. */
async function proposeImport(
  ceremonies: CeremonyService,
  params: URLSearchParams,
  request: IncomingMessage,
): Promise<CeremonyStatus> {
  const key = await readSecret(request)
  try {
    const input = importSchema.parse(Object.fromEntries(params))
    return await ceremonies.propose({ ...input, key })
  } finally {
    key.destroy()
  }
}

async function readSecret(request: IncomingMessage): Promise<Secret> {
  const bytes = new Uint8Array(KEY_BYTES)
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    if (length + chunk.length <= KEY_BYTES) bytes.set(chunk, length)
    length += chunk.length
    chunk.fill(0)
  }
  const secret = new Secret(bytes)
  if (length === KEY_BYTES) return secret
  secret.destroy()
  throw new KmsError('bad-request', `a key has ${KEY_BYTES} bytes`)
}

async function readJson(request: IncomingMessage, maxBytes: number = MAX_BODY_BYTES): Promise<unknown> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > maxBytes) throw new KmsError('too-large', 'the request is too long')
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch (cause) {
    throw new KmsError('bad-request', 'the request is not JSON', { cause })
  }
}

const NOT_FOUND: ReadonlySet<string> = new Set(['not-found', 'unknown-ceremony', 'unknown-repair'])

interface ErrorReply {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly data: unknown
}

function describeError(cause: unknown): ErrorReply {
  if (isKmsError(cause)) {
    const status = NOT_FOUND.has(cause.code) ? 404 : 409
    return { status, code: cause.code, message: cause.message, data: cause.data }
  }
  if (cause instanceof z.ZodError) {
    const problems = cause.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
    return { status: 400, code: 'bad-request', message: problems.join('; '), data: { problems } }
  }
  return { status: 500, code: 'internal', message: 'the node failed: see its log', data: {} }
}
