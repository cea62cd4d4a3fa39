/** While a share retires, the time that passed is made durable at least this often. */
const LONGEST_PAUSE_MS = 60_000
/** Doubled for every tick in a row that failed. */
const SHORTEST_PAUSE_MS = 20
const MAX_DOUBLINGS = 12

export interface RetirementClock {
  /** Something changed: look at what is due again. */
  wake(): void
  /** Resolves when the tick under way is over. */
  stop(): Promise<void>
}

/** Calls `tick` when a share is due, and now and then before. Holds no process open. */
export function createRetirementClock(ports: {
  /** Milliseconds until the next share is due; undefined while none retires. */
  readonly nextDueMs: () => number | undefined
  readonly tick: () => Promise<void>
  readonly onError: (cause: unknown) => void
}): RetirementClock {
  let timer: NodeJS.Timeout | undefined
  let ticking: Promise<void> | undefined
  let stopped = false
  let failures = 0

  const run = async (): Promise<void> => {
    try {
      await ports.tick()
      failures = 0
    } catch (cause) {
      failures++
      ports.onError(cause)
    } finally {
      ticking = undefined
      wake()
    }
  }

  const wake = (): void => {
    clearTimeout(timer)
    const dueMs = stopped || ticking !== undefined ? undefined : ports.nextDueMs()
    if (dueMs === undefined) return
    const leastMs = SHORTEST_PAUSE_MS * 2 ** Math.min(failures, MAX_DOUBLINGS)
    const fire = (): void => {
      ticking = run()
    }
    timer = setTimeout(fire, Math.min(LONGEST_PAUSE_MS, Math.max(leastMs, dueMs)))
    timer.unref()
  }

  return {
    wake,
    stop: async () => {
      stopped = true
      clearTimeout(timer)
      await ticking
    },
  }
}
