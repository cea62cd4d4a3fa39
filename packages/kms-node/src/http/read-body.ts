import type { IncomingMessage } from 'node:http'

/** Bytes of all bodies that are being read: long ones are nobody's need, and must not fill the memory together. */
const MAX_BYTES_UNDER_WAY = 64 * 1024 * 1024

export interface BodyLimits {
  /** Of one body. */
  readonly maxBytes: number
  /** The part of what all bodies may take that one caller's may, at least one body. Absent: all. */
  readonly callerShare?: number
}

/** Reads one body; rejects when the caller goes away. */
export type BodyReader = (request: IncomingMessage, caller?: string) => Promise<Uint8Array | 'too-long' | 'busy'>

export function createBodyReader({ maxBytes, callerShare = 1 }: BodyLimits): BodyReader {
  const maxOfCaller = Math.max(maxBytes, MAX_BYTES_UNDER_WAY * callerShare)
  const ofCallers = new Map<string, number>()
  let underWay = 0

  const count = (caller: string, bytes: number): number => {
    underWay += bytes
    const ofCaller = (ofCallers.get(caller) ?? 0) + bytes
    if (ofCaller > 0) ofCallers.set(caller, ofCaller)
    else ofCallers.delete(caller)
    return ofCaller
  }

  return async (request, caller = '') => {
    if (Number(request.headers['content-length'] ?? 0) > maxBytes) return 'too-long'
    const chunks: Uint8Array[] = []
    let length = 0
    try {
      // The connection outlives a body that is not read to its end: it has to carry the answer.
      for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
        length += chunk.length
        const ofCaller = count(caller, chunk.length)
        if (length > maxBytes) return 'too-long'
        if (underWay > MAX_BYTES_UNDER_WAY || ofCaller > maxOfCaller) return 'busy'
        chunks.push(chunk)
      }
      return Buffer.concat(chunks)
    } finally {
      count(caller, -length)
    }
  }
}
