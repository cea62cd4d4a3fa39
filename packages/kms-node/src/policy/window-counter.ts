/** At most this many items in any span of this length. */
export interface QuotaWindow {
  readonly items: number
  readonly seconds: number
}

/** Counts items per caller in one or two windows at once. */
export interface WindowCounter {
  /** Callers remembered. */
  readonly size: number
  /** Whether one more item of this caller fits into every window; `full`: no room to remember the caller, so nobody knows. */
  room(caller: string, nowSeconds: number): 'room' | 'used-up' | 'full'
  /** Counts one item of a caller that had room. @returns takes the count back; to be called once at the most */
  count(caller: string, nowSeconds: number): () => void
}

/** Both halves of a sliding window: what was counted in the span that runs, and in the one before it. */
interface Tally {
  span: number
  current: number
  previous: number
}

/**
 * Sliding windows: what the span before counted fades out evenly while the running one passes. Memory is bounded by `maxCallers`;
 * callers whose windows are empty again are forgotten first, and when there are none, new ones find no room: to forget a busy caller
 * would give it a fresh quota.
 */
export function createWindowCounter(windows: readonly QuotaWindow[], maxCallers: number): WindowCounter {
  const callers = new Map<string, readonly Tally[]>()
  let sweptAtSeconds = Number.NEGATIVE_INFINITY

  const sweep = (nowSeconds: number): void => {
    if (nowSeconds === sweptAtSeconds) return
    sweptAtSeconds = nowSeconds
    for (const [caller, tallies] of callers)
      if (tallies.every((tally, at) => isOver(tally, spanOf(windows[at], nowSeconds)))) callers.delete(caller)
  }

  return {
    get size() {
      return callers.size
    },
    room(caller, nowSeconds) {
      const tallies = callers.get(caller)
      if (tallies === undefined) {
        if (callers.size >= maxCallers) sweep(nowSeconds)
        return callers.size >= maxCallers ? 'full' : 'room'
      }
      const fits = tallies.every((tally, at) => used(tally, windows[at], nowSeconds) + 1 <= (windows[at]?.items ?? 0))
      return fits ? 'room' : 'used-up'
    },
    count(caller, nowSeconds) {
      const tallies =
        callers.get(caller) ?? windows.map((window) => ({ span: spanOf(window, nowSeconds), current: 0, previous: 0 }))
      for (const [at, tally] of tallies.entries()) advance(tally, spanOf(windows[at], nowSeconds)).current++
      callers.set(caller, tallies)
      const spans = tallies.map(({ span }) => span)
      return () => {
        for (const [at, tally] of tallies.entries()) {
          if (tally.span === spans[at]) tally.current--
          else if (tally.span - 1 === spans[at]) tally.previous--
        }
        const unused = tallies.every(({ current, previous }) => current === 0 && previous === 0)
        if (unused && callers.get(caller) === tallies) callers.delete(caller)
      }
    },
  }
}

const spanOf = (window: QuotaWindow | undefined, nowSeconds: number): number =>
  Math.floor(nowSeconds / (window?.seconds ?? 1))

/** Nothing of it counts any more. One from a clock that was ahead lasts from now on as long as any other. */
function isOver(tally: Tally, span: number): boolean {
  if (span < tally.span - 1) advance(tally, span)
  return span > tally.span + 1
}

/**
 * A clock that was set back gives nobody a fresh quota: up to a span, it stays in the one it had reached; by more, all that was counted
 * counts as of now, so that a clock that was far ahead for a moment keeps nobody out until that day comes.
 */
function advance(tally: Tally, span: number): Tally {
  if (span < tally.span - 1) {
    tally.current += tally.previous
    tally.previous = 0
    tally.span = span
  }
  if (span <= tally.span) return tally
  tally.previous = span === tally.span + 1 ? tally.current : 0
  tally.current = 0
  tally.span = span
  return tally
}

function used(tally: Tally, window: QuotaWindow | undefined, nowSeconds: number): number {
  if (window === undefined) return 0
  const { current, previous, span } = advance({ ...tally }, spanOf(window, nowSeconds))
  const passed = Math.max(0, nowSeconds - span * window.seconds) / window.seconds
  return current + previous * (1 - passed)
}
