import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { createInterface } from 'node:readline'
import { KmsError, type Secret } from '@tkms/dkg'
import { findSocket } from './socket-path.ts'

const CALL_TIMEOUT_MS = 30_000
const MAX_REPLY_BYTES = 16 * 1024 * 1024

/** The CLI's side of the admin socket. Errors of the node come back as KmsError with their code. */
export interface AdminClient {
  get(path: string): Promise<unknown>
  /** @param maxReplyBytes default 16 MiB */
  post(path: string, body: unknown, maxReplyBytes?: number): Promise<unknown>
  /** A secret as the body, raw; borrowed. */
  postSecret(path: string, secret: Secret): Promise<unknown>
  /** One parsed JSON object per line, until the node or the signal ends it. */
  lines(path: string, signal: AbortSignal): AsyncGenerator<unknown>
}

/** @throws KmsError `node-not-running` */
export async function connectAdmin(dataDir: string): Promise<AdminClient> {
  const socketPath = await findSocket(dataDir)
  const call = async (
    method: string,
    path: string,
    body?: unknown,
    maxReplyBytes: number = MAX_REPLY_BYTES,
  ): Promise<unknown> => {
    const text = body === undefined || Buffer.isBuffer(body) ? body : JSON.stringify(body)
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS)
    const response = await open(request({ socketPath, method, path, signal }), text)
    return checkReply(response.statusCode ?? 0, JSON.parse(await readText(response, maxReplyBytes)))
  }
  return {
    get: (path) => call('GET', path),
    post: (path, body, maxReplyBytes) => call('POST', path, body, maxReplyBytes),
    postSecret: async (path, secret) => {
      const body = secret.use((bytes) => Buffer.from(bytes))
      try {
        return await call('POST', path, body)
      } finally {
        body.fill(0)
      }
    },
    async *lines(path, signal) {
      const response = await open(request({ socketPath, method: 'GET', path, signal }))
      try {
        for await (const line of createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY }))
          yield JSON.parse(line) as unknown
      } catch (cause) {
        if (!signal.aborted) throw new KmsError('node-not-running', 'the node ended the connection', { cause })
      } finally {
        response.destroy()
      }
    },
  }
}

function open(call: ClientRequest, body?: string | Buffer): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    call.once('response', resolve)
    call.once('error', (cause) =>
      reject(new KmsError('node-not-running', 'the node does not answer on its admin socket', { cause })),
    )
    call.end(body)
  })
}

async function readText(response: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > maxBytes) throw new KmsError('too-large', 'the reply of the node is too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function checkReply(status: number, body: unknown): unknown {
  if (status < 400) return body
  const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined
  const { code, message } = error as { code?: unknown; message?: unknown }
  throw new KmsError(
    typeof code === 'string' ? code : 'internal',
    typeof message === 'string' ? message : 'the node refused',
  )
}
