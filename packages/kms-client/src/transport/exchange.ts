import { KmsError } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { TransportErrorCode } from './types.ts'

/** One bounded HTTP exchange. The URL is a whole one; bodies are JSON text. */
export interface HttpRequest {
  readonly url: string
  readonly method: 'GET' | 'POST'
  readonly body?: string
  /** Sent as `Authorization: Bearer`. */
  readonly token?: string
  readonly signal: AbortSignal
  readonly maxReplyBytes: number
  /** SHA-256 of the server's TLS key (SPKI DER). Only Node can check it; a browser relies on public certificates. */
  readonly tlsSpkiSha256?: Uint8Array
}

export interface HttpReply {
  readonly status: number
  readonly body: Uint8Array
}

/**
 * The door to HTTP: `fetchExchange` here, `pinnedExchange` in Node.
 * @throws KmsError `unreachable` or `bad-reply`; the signal's reason once it fires
 */
export type HttpExchange = (request: HttpRequest) => Promise<HttpReply>

export function transportError(
  code: TransportErrorCode,
  message: string,
  cause?: unknown,
): KmsError<TransportErrorCode> {
  return new KmsError(code, message, { cause, retryable: code === 'unreachable' })
}

/**
 * What became of a request that never got its reply, with the system's own short code where there is one ("ECONNREFUSED",
 * "DEPTH_ZERO_SELF_SIGNED_CERT"): it tells an absent node from one with another certificate. An error of our own stays what it is.
 */
export function requestFailed(error: unknown): KmsError {
  if (isKmsError(error)) return error
  const code = systemCode(error) ?? (error instanceof Error ? systemCode(error.cause) : undefined)
  return transportError('unreachable', `the HTTP request failed${code === undefined ? '' : ` (${code})`}`, error)
}

const systemCode = (error: unknown): string | undefined =>
  error instanceof Error &&
  'code' in error &&
  typeof error.code === 'string' &&
  /^[A-Z][A-Z0-9_]{2,63}$/.test(error.code)
    ? error.code
    : undefined

/** Over `fetch`: no cookies, no cache, no referrer, no redirects. A reply longer than allowed is dropped while it arrives. */
export function fetchExchange(fetchFn: typeof fetch = fetch): HttpExchange {
  return async (request) => {
    const { url, method, body, signal, maxReplyBytes } = request
    const response = await fetchFn(url, {
      method,
      ...(body === undefined ? {} : { body }),
      headers: headersOf(request),
      signal,
      redirect: 'error',
      credentials: 'omit',
      cache: 'no-store',
      referrerPolicy: 'no-referrer',
    }).catch((error: unknown) => {
      signal.throwIfAborted()
      throw requestFailed(error)
    })
    return { status: response.status, body: await readBounded(response, maxReplyBytes, signal) }
  }
}

/** Of an exchange with a JSON body, a token, both or neither. */
export const headersOf = ({ body, token }: Pick<HttpRequest, 'body' | 'token'>): Record<string, string> => ({
  ...(body === undefined ? {} : { 'content-type': 'application/json' }),
  ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
})

async function readBounded(response: Response, maxReplyBytes: number, signal: AbortSignal): Promise<Uint8Array> {
  if (response.body === null) return new Uint8Array(0)
  const reader = response.body.getReader()
  const chunks: Uint8Array[] = []
  let length = 0
  for (;;) {
    const { done, value } = await reader.read().catch((error: unknown) => {
      signal.throwIfAborted()
      throw transportError('unreachable', 'the reply broke off', error)
    })
    if (done) return joinChunks(chunks, length)
    length += value.length
    if (length > maxReplyBytes) {
      await reader.cancel()
      throw transportError('bad-reply', `the reply has more than ${maxReplyBytes} bytes`)
    }
    chunks.push(value)
  }
}

/** The chunks, one after the other. @param length their sum in bytes */
export function joinChunks(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const out = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    out.set(chunk, at)
    at += chunk.length
  }
  return out
}

/**
 * Strict UTF-8 JSON.
 * @throws KmsError `bad-reply`
 */
export function parseJsonReply(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch (error) {
    throw transportError('bad-reply', 'the reply is not JSON', error)
  }
}
