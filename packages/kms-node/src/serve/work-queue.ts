/** Lets a bounded number of calls run at once and a bounded number wait: in order, and the callers in turn. */
export interface WorkQueue {
  /** Asked for and neither refused nor finished. */
  readonly size: number
  /**
   * @param caller whose turn it takes: calls without one are all of one caller
   * @returns what `run` returns, `busy` when too many wait, `cancelled` when the signal fires before its turn
   */
  enter<T>(signal: AbortSignal, run: () => Promise<T>, caller?: string): Promise<T | 'busy' | 'cancelled'>
}

export interface WorkLimits {
  readonly maxRunning: number
  readonly maxWaiting: number
  /** The part that one caller may take of both, above 0 and at least one call of each. Absent: all. */
  readonly callerShare?: number
}

/** What one address may take of a node's queues, so that it cannot keep the others from their turns. */
export const ADDRESS_SHARE: number = 1 / 4

/** Calls that begin one after the other for longer than this let what the event loop has waiting, such as other callers' requests, come between. */
const TURN_MS = 4

interface Lane {
  running: number
  readonly waiting: { readonly start: () => void }[]
}

export function createWorkQueue({ maxRunning, maxWaiting, callerShare = 1 }: WorkLimits): WorkQueue {
  const maxOfCaller = {
    running: Math.max(1, Math.floor(maxRunning * callerShare)),
    waiting: Math.max(1, Math.floor(maxWaiting * callerShare)),
  }
  /** Callers with calls that run or wait; whose turn was longest ago comes first. */
  const lanes = new Map<string, Lane>()
  let running = 0
  let waiting = 0
  /** Places that ended calls left to those who wait, until the event loop has had its turn. */
  let reserved = 0
  /** When calls began to run one after the other without the event loop between them. */
  let turnStartMs: number | undefined

  const isFree = (lane: Lane): boolean => running + reserved < maxRunning && lane.running < maxOfCaller.running

  const take = (caller: string, lane: Lane): void => {
    running++
    lane.running++
    lanes.delete(caller)
    lanes.set(caller, lane)
  }

  const dropIdle = (caller: string, lane: Lane): void => {
    if (lane.running === 0 && lane.waiting.length === 0) lanes.delete(caller)
  }

  const inTurn = (): boolean => {
    if (turnStartMs === undefined) {
      turnStartMs = performance.now()
      setImmediate(() => (turnStartMs = undefined))
    }
    return performance.now() - turnStartMs < TURN_MS
  }

  /** One call ended: one begins, now or when others had their turn. */
  const startNext = (): void => {
    if (waiting === 0) return
    if (inTurn()) return startWaiting()
    reserved++
    setImmediate(() => {
      reserved--
      startWaiting()
    })
  }

  const startWaiting = (): void => {
    for (const [caller, lane] of lanes) {
      if (!isFree(lane)) continue
      const next = lane.waiting.shift()
      if (next === undefined) continue
      waiting--
      take(caller, lane)
      next.start()
      return
    }
  }

  const turn = (signal: AbortSignal, caller: string, lane: Lane): Promise<'go' | 'cancelled'> =>
    new Promise((resolve) => {
      const entry = {
        start: (): void => {
          signal.removeEventListener('abort', leave)
          resolve('go')
        },
      }
      const leave = (): void => {
        lane.waiting.splice(lane.waiting.indexOf(entry), 1)
        waiting--
        dropIdle(caller, lane)
        resolve('cancelled')
      }
      signal.addEventListener('abort', leave, { once: true })
      lane.waiting.push(entry)
      waiting++
      lanes.set(caller, lane)
    })

  return {
    get size() {
      return running + waiting
    },
    async enter(signal, run, caller = '') {
      if (signal.aborted) return 'cancelled'
      const lane = lanes.get(caller) ?? { running: 0, waiting: [] }
      if (isFree(lane)) take(caller, lane)
      else if (waiting >= maxWaiting || lane.waiting.length >= maxOfCaller.waiting) return 'busy'
      else if ((await turn(signal, caller, lane)) === 'cancelled') return 'cancelled'
      try {
        return await run()
      } finally {
        running--
        lane.running--
        dropIdle(caller, lane)
        startNext()
      }
    },
  }
}
