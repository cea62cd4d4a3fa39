import type { IncomingMessage } from 'node:http'
import { MAX_REQUEST_BYTES, MAX_SIGNATURE_BYTES } from '@tkms/dkg'

/** An authorization in JSON: payload and signature in hex, and room for names and spaces. */
export const MAX_BODY_BYTES: number = 2 * (MAX_REQUEST_BYTES + MAX_SIGNATURE_BYTES) + 4096

export type JsonBody =
  | { readonly kind: 'json'; readonly value: unknown }
  | { readonly kind: 'refused'; readonly code: 'too-large' | 'malformed' | 'unsupported-media-type' }

/** Reads a JSON body of at most `MAX_BODY_BYTES`; the server's request timeout bounds the time. Rejects when the caller goes away. */
export async function readJsonBody(request: IncomingMessage): Promise<JsonBody> {
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json') return { kind: 'refused', code: 'unsupported-media-type' }
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return { kind: 'refused', code: 'too-large' }
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    length += chunk.length
    if (length > MAX_BODY_BYTES) return { kind: 'refused', code: 'too-large' }
    chunks.push(chunk)
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
    return { kind: 'json', value: JSON.parse(text) as unknown }
  } catch {
    // Not UTF-8 or not JSON: the caller is told so by the code, the parser's text says nothing more.
    return { kind: 'refused', code: 'malformed' }
  }
}
