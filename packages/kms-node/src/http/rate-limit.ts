import { BoundedMap } from '../serve/bounded-map.ts'

interface Bucket {
  readonly tokens: number
  readonly atMs: number
}

export interface RateLimitOptions {
  readonly requestsPerSecond: number
  /** What a caller that was silent may ask at once. */
  readonly burst: number
  /** Callers remembered; the one silent the longest is forgotten first. */
  readonly maxCallers: number
}

/** One token bucket per caller. */
export interface RateLimit {
  /**
   * @param tokens how many are taken, one without it; never more than a whole burst
   * @returns 0, or after how many seconds there are so many again: then none was taken
   */
  retryAfterSeconds(caller: string, nowMs: number, tokens?: number): number
}

/** @param options all above 0 */
export function createRateLimit(options: RateLimitOptions): RateLimit {
  const { requestsPerSecond, burst } = options
  const buckets = new BoundedMap<string, Bucket>(options.maxCallers)
  return {
    retryAfterSeconds(caller, nowMs, wanted = 1) {
      const taken = Math.min(wanted, burst)
      const bucket = buckets.get(caller) ?? { tokens: burst, atMs: nowMs }
      const tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * requestsPerSecond)
      const allowed = tokens >= taken
      buckets.set(caller, { tokens: allowed ? tokens - taken : tokens, atMs: nowMs })
      return allowed ? 0 : Math.ceil((taken - tokens) / requestsPerSecond)
    },
  }
}

const BYTES_PER_TOKEN = 8 * 1024

/** What a request costs that has so many bytes, once: a batch makes as much work as its items. */
export const tokensOf = (payload: Uint8Array): number => Math.max(1, Math.ceil(payload.length / BYTES_PER_TOKEN))

/** Whom an address stands for: an IPv4 address, or the 64-bit network of an IPv6 one, which one host can use as a whole. */
export function callerOf(address: string): string {
  const bare = address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
  if (!bare.includes(':')) return bare
  const [head = '', tail] = bare.split('::')
  const groups = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - groups.length - after.length)
  return [...groups, ...Array.from({ length: zeros }, () => '0'), ...after].slice(0, 4).join(':')
}
