import type { IncomingMessage } from 'node:http'

/** As the single-key service has it. */
export const MAX_BODY_BYTES: number = 2 * 1024 * 1024
/** Bytes of all bodies that are being read: long ones are nobody's need, and must not fill the memory together. */
const MAX_BYTES_UNDER_WAY = 64 * 1024 * 1024

/** @returns reads one body; rejects when the caller goes away */
export function createBodyReader(): (request: IncomingMessage) => Promise<Uint8Array | 'too-long' | 'busy'> {
  let underWay = 0
  return async (request) => {
    if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return 'too-long'
    const chunks: Uint8Array[] = []
    let length = 0
    try {
      // The connection outlives a body that is not read to its end: it has to carry the answer.
      for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
        length += chunk.length
        underWay += chunk.length
        if (length > MAX_BODY_BYTES) return 'too-long'
        if (underWay > MAX_BYTES_UNDER_WAY) return 'busy'
        chunks.push(chunk)
      }
      return Buffer.concat(chunks)
    } finally {
      underWay -= length
    }
  }
}
