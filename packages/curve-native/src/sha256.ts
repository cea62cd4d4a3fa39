import { createHash, hash } from 'node:crypto'
import type { Curve } from '@tkms/dkg'

const SCRATCH_BYTES = 1024

/** SHA-256 by OpenSSL, short inputs in one call. */
export function createSha256(): Curve['sha256'] {
  const scratch = new Uint8Array(SCRATCH_BYTES)
  return (...parts) => {
    let length = 0
    for (const part of parts) length += part.length
    if (length > SCRATCH_BYTES) {
      const long = createHash('sha256')
      for (const part of parts) long.update(part)
      return Uint8Array.from(long.digest())
    }
    let at = 0
    for (const part of parts) {
      scratch.set(part, at)
      at += part.length
    }
    const input = scratch.subarray(0, length)
    const digest = hash('sha256', input, 'buffer')
    input.fill(0)
    const out = new Uint8Array(digest)
    digest.fill(0)
    return out
  }
}
