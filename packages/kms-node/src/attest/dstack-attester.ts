import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { z } from 'zod'
import { askGuestAgent } from '../dstack/guest-agent.ts'
import { isKmsError } from '../errors.ts'
import type { Attester } from '../ports.ts'
import { attestError } from './errors.ts'
import { MAX_QUOTE_BYTES } from './quote-bytes.ts'

/** The host may take seconds over a quote. */
const QUOTE_TIMEOUT_MS = 30_000
/** The event log comes with the quote. */
const MAX_REPLY_BYTES = 2 * 1024 * 1024

const quoteReply = z.object({
  quote: z
    .string()
    .max(2 + 2 * MAX_QUOTE_BYTES)
    .regex(/^(?:0x)?(?:[0-9a-fA-F]{2})+$/),
})

/**
 * Quotes of dstack's guest agent: GetQuote {"report_data": hex}, which puts the 64 bytes into the report as they are.
 * @param options.socket path of the agent's Unix socket
 * @param options.timeoutMs for one quote
 */
export function createDstackAttester(options: { readonly socket: string; readonly timeoutMs?: number }): Attester {
  const { socket, timeoutMs = QUOTE_TIMEOUT_MS } = options
  return {
    provider: 'dstack',
    async quote(reportData, signal) {
      const body = { report_data: bytesToHex(reportData) }
      const call = { socket, method: 'GetQuote', body, maxReplyBytes: MAX_REPLY_BYTES, timeoutMs, signal }
      const reply = quoteReply.safeParse(await askGuestAgent(call).catch(noQuote))
      if (!reply.success)
        throw attestError('attestation-unavailable', `the dstack guest agent at ${socket} answers without a quote`)
      return hexToBytes(reply.data.quote.replace(/^0x/, ''))
    },
  }
}

function noQuote(cause: unknown): never {
  throw isKmsError(cause) ? attestError('attestation-unavailable', cause.message, { cause }) : cause
}
