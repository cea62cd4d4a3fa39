import { attempt, formatAuthorization, parseAnswer, REFUSAL_CODES, type RefusalCode } from '@tkms/dkg'
import { fetchExchange, type HttpExchange, type HttpReply, parseJsonReply, transportError } from './exchange.ts'
import type { Transport, TransportReply } from './types.ts'

/** JSON doubles the bytes (hex) and adds names. */
const JSON_BYTES_PER_BYTE = 2
const JSON_OVERHEAD_BYTES = 2_048

/** Too slow, too many, unavailable: from the node's own limits or from a proxy before it. */
const BUSY_STATUSES: ReadonlySet<number> = new Set([408, 429, 502, 503, 504])

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isRefusalCode = (value: unknown): value is RefusalCode => (REFUSAL_CODES as readonly unknown[]).includes(value)

/**
 * `POST {url}/v1/delegate` with the authorization object (interfaces 2). Works wherever `fetch` does.
 * TLS protects metadata only: answers are signed, proven and boxed. A browser needs certificates it trusts, or loopback HTTP;
 * in Node, `pinnedHttp()` checks the TLS key against the cluster file instead.
 * @param options.fetch another implementation of `fetch`
 * @param options.exchange another door to HTTP altogether
 * @example
 * const kms = await createKmsClient({ cluster, signer, transport: http() })
 */
export function http(options: { readonly fetch?: typeof fetch; readonly exchange?: HttpExchange } = {}): Transport {
  const exchange = options.exchange ?? fetchExchange(options.fetch)
  return {
    async ask(node, authorization, { signal, maxReplyBytes, token }) {
      const reply = await exchange({
        url: `${node.url.replace(/\/+$/, '')}/v1/delegate`,
        method: 'POST',
        body: JSON.stringify(formatAuthorization(authorization)),
        ...(token === undefined ? {} : { token }),
        signal,
        maxReplyBytes: maxReplyBytes * JSON_BYTES_PER_BYTE + JSON_OVERHEAD_BYTES,
        ...(node.tlsSpkiSha256 === undefined ? {} : { tlsSpkiSha256: node.tlsSpkiSha256 }),
      })
      return readReply(reply)
    },
    close: () => Promise.resolve(),
  }
}

function readReply(reply: HttpReply): TransportReply {
  if (reply.status === 200) return { kind: 'answer', answer: readAnswer(parseJsonReply(reply.body)) }
  const value = attempt(() => parseJsonReply(reply.body))
  const error = isRecord(value) ? value['error'] : undefined
  const code = isRecord(error) ? error['code'] : undefined
  if (isRefusalCode(code)) return refusal(code, isRecord(error) ? error['details'] : undefined)
  if (BUSY_STATUSES.has(reply.status)) return { kind: 'refusal', code: 'busy' }
  throw transportError('bad-reply', `HTTP status ${reply.status} without a known code`)
}

function refusal(code: RefusalCode, details: unknown): TransportReply {
  const skewSeconds = isRecord(details) ? details['skewSeconds'] : undefined
  return typeof skewSeconds === 'number' && Number.isSafeInteger(skewSeconds)
    ? { kind: 'refusal', code, skewSeconds }
    : { kind: 'refusal', code }
}

function readAnswer(value: unknown): ReturnType<typeof parseAnswer> {
  try {
    return parseAnswer(value)
  } catch (error) {
    throw transportError('bad-reply', 'the reply is not an answer', error)
  }
}
