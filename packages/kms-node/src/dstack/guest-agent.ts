import { type IncomingMessage, request } from 'node:http'
import { KmsError } from '@tkms/dkg'

/** Where dstack mounts its guest agent. */
export const DSTACK_SOCKET = '/var/run/dstack.sock'

const CALL_TIMEOUT_MS = 10_000

export interface GuestAgentCall {
  /** Path of the agent's Unix socket. */
  readonly socket: string
  /** "GetKey", "GetQuote", ... */
  readonly method: string
  readonly body: Readonly<Record<string, unknown>>
  readonly maxReplyBytes: number
  /** Default: 10 s. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

const unavailable = (socket: string, why: string, cause?: unknown): KmsError =>
  new KmsError('guest-agent-unavailable', `the dstack guest agent at ${socket} ${why}`, {
    cause,
    data: { socket },
    retryable: true,
  })

/**
 * One call of dstack's guest agent: POST /METHOD with JSON over its Unix socket (dstack, sdk/curl/api.md).
 * @returns the parsed JSON of a reply with status 200; what is in it is for the caller to check
 * @throws KmsError `guest-agent-unavailable` (retryable), `guest-agent-bad-reply`
 */
export async function askGuestAgent(call: GuestAgentCall): Promise<unknown> {
  const { socket, method, maxReplyBytes, timeoutMs = CALL_TIMEOUT_MS } = call
  const bytes = await new Promise<Buffer>((resolve, reject) => {
    const failed = (cause: unknown): void => reject(unavailable(socket, 'does not answer', cause))
    const headers = { host: 'dstack', 'content-type': 'application/json' }
    const limit = AbortSignal.timeout(timeoutMs)
    const signal = call.signal === undefined ? limit : AbortSignal.any([limit, call.signal])
    const asking = request({ socketPath: socket, agent: false, method: 'POST', path: `/${method}`, headers, signal })
    asking.once('error', failed)
    asking.once('response', (reply) => {
      readReply(reply, maxReplyBytes).then((body) => {
        if (reply.statusCode === 200) return resolve(body)
        return reject(unavailable(socket, `refuses ${method} with HTTP status ${reply.statusCode}`))
      }, failed)
    })
    asking.end(JSON.stringify(call.body))
  })
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    // The parser's message would quote the reply, which may hold a key.
    throw badReply(socket, method)
  } finally {
    bytes.fill(0)
  }
}

/** For a reply that is not what was asked for. */
export const badReply = (socket: string, method: string): KmsError =>
  new KmsError('guest-agent-bad-reply', `what answers ${method} at ${socket} is not a dstack guest agent we know`, {
    data: { socket, method },
  })

async function readReply(reply: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of reply as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > maxBytes) throw new RangeError(`the reply is longer than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  const whole = Buffer.concat(chunks)
  for (const chunk of chunks) chunk.fill(0)
  return whole
}
