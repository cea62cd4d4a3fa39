export interface RequestRateOptions {
  /** In one window. */
  readonly max: number
  readonly windowMs: number
}

/** Whether a peer may ask once more in the window that runs now. For roster peers only: their number bounds the table. */
export function createRequestRate({ max, windowMs }: RequestRateOptions): (peer: string) => boolean {
  let counts = new Map<string, number>()
  let windowEndsMs = 0
  return (peer) => {
    const nowMs = performance.now()
    if (nowMs >= windowEndsMs) {
      counts = new Map()
      windowEndsMs = nowMs + windowMs
    }
    const count = 1 + (counts.get(peer) ?? 0)
    counts.set(peer, count)
    return count <= max
  }
}
