import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import type { getHttpRpcClient } from 'viem/utils'
import { z } from 'zod'

/** What a contract returned, in bytes. */
const MAX_RESULT_BYTES = 4096
/** A whole JSON-RPC reply. */
const MAX_REPLY_BYTES = 16 * 1024
/** The code of a revert in Ethereum's execution API; some endpoints say it in words only. */
const REVERT_CODE = 3
const REVERT_WORDS = /^(?:vm exception|execution reverted)/i

/** A read of a contract. */
export interface EthCall {
  /** 0x and 40 hex digits. */
  readonly to: `0x${string}`
  readonly data: Uint8Array
}

/** What an endpoint says the contract did. */
export type EndpointAnswer = { readonly kind: 'returned'; readonly bytes: Uint8Array } | { readonly kind: 'reverted' }

export type EndpointReply = EndpointAnswer | { readonly kind: 'problem'; readonly problem: EndpointProblem }

export type EndpointProblem =
  | 'timeout'
  | 'unreachable'
  | 'reply-too-large'
  | 'bad-reply'
  /** It answered with an error of its own. */
  | 'rpc-error'
  /** It serves another chain. */
  | 'wrong-chain'

export type RpcClientFactory = typeof getHttpRpcClient

const replySchema = z.union([
  z.object({ error: z.object({ code: z.number(), message: z.string() }) }),
  z.object({ error: z.null().optional(), result: z.string().regex(/^0x[0-9a-fA-F]*$/) }),
])

/**
 * One JSON-RPC endpoint of a chain. Before its first answer counts it must say that it serves this chain. Redirects are not followed,
 * replies are bounded, and nothing of them but the bytes of the result goes further.
 * @returns asks it; never rejects
 */
export function createEndpoint(options: {
  readonly client: RpcClientFactory
  readonly url: string
  readonly chainId: number
  readonly timeoutMs: number
}): (call: EthCall, signal: AbortSignal) => Promise<EndpointReply> {
  const { url, chainId, timeoutMs } = options
  const rpc = options.client(url, { timeout: timeoutMs, maxResponseBodySize: MAX_REPLY_BYTES })
  let servesChain = false

  const ask = async (method: string, params: readonly unknown[], signal: AbortSignal): Promise<EndpointReply> => {
    try {
      return readReply(await rpc.request({ body: { method, params }, fetchOptions: { signal, redirect: 'error' } }))
    } catch (cause) {
      return readFailure(cause)
    }
  }

  return async ({ to, data }, signal) => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    if (!servesChain) {
      const reply = await ask('eth_chainId', [], limit)
      if (reply.kind === 'problem') return reply
      servesChain = reply.kind === 'returned' && quantity(reply.bytes) === BigInt(chainId)
      if (!servesChain) return problem('wrong-chain')
    }
    return ask('eth_call', [{ to, data: `0x${bytesToHex(data)}` }, 'latest'], limit)
  }
}

const problem = (word: EndpointProblem): EndpointReply => ({ kind: 'problem', problem: word })
const quantity = (bytes: Uint8Array): bigint => BigInt(`0x0${bytesToHex(bytes)}`)

function readReply(reply: unknown): EndpointReply {
  const parsed = replySchema.safeParse(reply)
  if (!parsed.success) return problem('bad-reply')
  if ('result' in parsed.data) {
    const digits = parsed.data.result.slice(2)
    if (digits.length > 2 * MAX_RESULT_BYTES) return problem('reply-too-large')
    return { kind: 'returned', bytes: hexToBytes(digits.length % 2 === 0 ? digits : `0${digits}`) }
  }
  return readError(parsed.data.error)
}

const readError = ({ code, message }: { readonly code: number; readonly message: string }): EndpointReply =>
  code === REVERT_CODE || REVERT_WORDS.test(message) ? { kind: 'reverted' } : problem('rpc-error')

/** By name, for these classes come from a module that is loaded late. */
function readFailure(cause: unknown): EndpointReply {
  if (!(cause instanceof Error)) return problem('unreachable')
  if (cause.name === 'TimeoutError' || cause.name === 'AbortError') return problem('timeout')
  if (cause.name === 'ResponseBodyTooLargeError') return problem('reply-too-large')
  if (cause.name === 'RpcRequestError' && 'code' in cause && typeof cause.code === 'number')
    return readError({ code: cause.code, message: 'details' in cause ? String(cause.details) : '' })
  return problem(cause.cause instanceof SyntaxError ? 'bad-reply' : 'unreachable')
}
