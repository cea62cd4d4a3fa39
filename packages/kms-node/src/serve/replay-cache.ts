const BUCKET_SECONDS = 60

/** Remembers which requests were answered until they could not be asked again anyway. */
export interface ReplayCache {
  has(id: string, expiresAtSeconds: number): boolean
  /** @returns `full` when no more can be remembered: refuse, rather than forget one */
  add(id: string, expiresAtSeconds: number, nowSeconds: number): 'added' | 'replayed' | 'full'
}

/** In memory: a restart forgets. @param options.leewaySeconds how long past its end a request is still taken */
export function createReplayCache(options: {
  readonly maxEntries: number
  readonly leewaySeconds: number
}): ReplayCache {
  const buckets = new Map<number, Set<string>>()
  let size = 0
  const bucketOf = (expiresAtSeconds: number): number =>
    Math.floor((expiresAtSeconds + options.leewaySeconds) / BUCKET_SECONDS)
  const forgetExpired = (nowSeconds: number): void => {
    const current = Math.floor(nowSeconds / BUCKET_SECONDS)
    for (const [bucket, ids] of buckets)
      if (bucket < current) {
        size -= ids.size
        buckets.delete(bucket)
      }
  }
  const has = (id: string, expiresAtSeconds: number): boolean =>
    buckets.get(bucketOf(expiresAtSeconds))?.has(id) ?? false
  return {
    has,
    add(id, expiresAtSeconds, nowSeconds) {
      if (has(id, expiresAtSeconds)) return 'replayed'
      forgetExpired(nowSeconds)
      if (size >= options.maxEntries) return 'full'
      const bucket = bucketOf(expiresAtSeconds)
      const ids = buckets.get(bucket) ?? new Set<string>()
      buckets.set(bucket, ids.add(id))
      size++
      return 'added'
    },
  }
}
