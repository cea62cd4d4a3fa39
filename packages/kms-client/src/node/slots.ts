import { transportError } from '../transport/exchange.ts'

/** At most `size` runs at once; the rest waits in line, at most `maxWaiting` of them. */
export interface Slots {
  /**
   * Runs `work` when a place is free.
   * @throws KmsError `unreachable` when the line is full; the signal's reason when it fires before the turn comes
   */
  run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T>
}

/** @param options.size >= 1 @param options.maxWaiting >= 0 */
export function createSlots(options: { readonly size: number; readonly maxWaiting: number }): Slots {
  let free = options.size
  const line = new Set<() => void>()

  function release(): void {
    const [next] = line
    if (next === undefined) free += 1
    else {
      line.delete(next)
      next()
    }
  }

  function acquire(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (free > 0) {
      free -= 1
      return Promise.resolve()
    }
    if (line.size >= options.maxWaiting) throw transportError('unreachable', 'too many requests wait for this node')
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        line.delete(enter)
        reject(signal.reason as Error)
      }
      const enter = (): void => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      line.add(enter)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  return {
    async run(signal, work) {
      await acquire(signal)
      try {
        return await work()
      } finally {
        release()
      }
    },
  }
}
