export interface RequestRateOptions {
  /** In one window. */
  readonly max: number
  readonly windowMs: number
  /** Callers counted in one window; beyond that new ones wait for the next. Without it their number must be bounded elsewhere. */
  readonly maxCallers?: number
}

/** Whether a caller (a peer, an address) may ask once more in the window that runs now. */
export function createRequestRate({
  max,
  windowMs,
  maxCallers = Infinity,
}: RequestRateOptions): (caller: string) => boolean {
  let counts = new Map<string, number>()
  let windowEndsMs = 0
  return (caller) => {
    const nowMs = performance.now()
    if (nowMs >= windowEndsMs) {
      counts = new Map()
      windowEndsMs = nowMs + windowMs
    }
    const count = counts.get(caller) ?? 0
    if (count >= max || (count === 0 && counts.size >= maxCallers)) return false
    counts.set(caller, count + 1)
    return true
  }
}
