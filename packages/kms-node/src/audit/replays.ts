import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { bytesKey } from '@tkms/dkg'
import type { ReleaseEntry } from '../serve/release-ledger.ts'

/** What a remembered request is found by, 32 bytes: SHA-256 of publicKeyId || "/" || requestId. */
export const replayId = (requester: string, requestId: Uint8Array): Uint8Array =>
  sha256(concatBytes(utf8ToBytes(`${requester}/`), requestId))

/** Who a request counts for: who signed it, or the session it came in; of an unsigned one, which anybody may send, its address. */
export const countedFor = ({ release: { principal, requester }, address }: ReleaseEntry): string =>
  requester === 'none' ? `none/${address}` : (principal ?? requester)

/** Who it counts for, 16 bytes. */
export const requesterTag = (requester: string): Uint8Array => sha256(utf8ToBytes(requester)).slice(0, 16)

/** How many requests are remembered, of each requester and together, so that none takes the room of the others. */
export interface ReplayCounts {
  /** Whether one more of this requester may be remembered, and counts it. */
  take(requester: Uint8Array): boolean
  giveBack(requester: Uint8Array): void
}

/** @param counts per requester tag in hex; taken over */
export function createReplayCounts(
  counts: Map<string, number>,
  limits: { readonly total: number; readonly perRequester: number },
): ReplayCounts {
  let total = 0
  for (const count of counts.values()) total += count
  return {
    take(requester) {
      const name = bytesKey(requester)
      const count = counts.get(name) ?? 0
      if (total >= limits.total || count >= limits.perRequester) return false
      counts.set(name, count + 1)
      total++
      return true
    },
    giveBack(requester) {
      const name = bytesKey(requester)
      const count = counts.get(name)
      if (count === undefined) return
      if (count > 1) counts.set(name, count - 1)
      else counts.delete(name)
      total--
    },
  }
}
