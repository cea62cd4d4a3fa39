import type { IncomingMessage } from 'node:http'
import { MAX_REQUEST_BYTES, MAX_SIGNATURE_BYTES } from '@tkms/dkg'
import { ADDRESS_SHARE } from '../serve/work-queue.ts'
import { createBodyReader } from './read-body.ts'

/** An authorization in JSON: payload and signature in hex, and room for names and spaces. */
export const MAX_BODY_BYTES: number = 2 * (MAX_REQUEST_BYTES + MAX_SIGNATURE_BYTES) + 4096

export type JsonBody =
  | { readonly kind: 'json'; readonly value: unknown }
  | { readonly kind: 'refused'; readonly code: 'too-large' | 'busy' | 'malformed' | 'unsupported-media-type' }

/** Reads JSON bodies of at most `MAX_BODY_BYTES`; the server's request timeout bounds the time. Rejects when the caller goes away. */
export function createJsonBodyReader(): (request: IncomingMessage, caller: string) => Promise<JsonBody> {
  const readBody = createBodyReader({ maxBytes: MAX_BODY_BYTES, callerShare: ADDRESS_SHARE })
  return async (request, caller) => {
    const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase()
    if (type !== 'application/json') return { kind: 'refused', code: 'unsupported-media-type' }
    const bytes = await readBody(request, caller)
    if (typeof bytes === 'string') return { kind: 'refused', code: bytes === 'busy' ? 'busy' : 'too-large' }
    try {
      return { kind: 'json', value: JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown }
    } catch {
      // Not UTF-8 or not JSON: the caller is told so by the code, the parser's text says nothing more.
      return { kind: 'refused', code: 'malformed' }
    }
  }
}
