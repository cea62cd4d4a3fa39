/** Lets a bounded number of calls run at once and a bounded number wait, in order. */
export interface WorkQueue {
  /** Asked for and neither refused nor finished. */
  readonly size: number
  /** @returns what `run` returns, `busy` when too many wait, `cancelled` when the signal fires before its turn */
  enter<T>(signal: AbortSignal, run: () => Promise<T>): Promise<T | 'busy' | 'cancelled'>
}

export function createWorkQueue(limits: { readonly maxRunning: number; readonly maxWaiting: number }): WorkQueue {
  const waiting: { readonly start: () => void }[] = []
  let running = 0

  const turn = (signal: AbortSignal): Promise<'go' | 'cancelled'> =>
    new Promise((resolve) => {
      const entry = {
        start: (): void => {
          signal.removeEventListener('abort', leave)
          resolve('go')
        },
      }
      const leave = (): void => {
        waiting.splice(waiting.indexOf(entry), 1)
        resolve('cancelled')
      }
      signal.addEventListener('abort', leave, { once: true })
      waiting.push(entry)
    })

  return {
    get size() {
      return running + waiting.length
    },
    async enter(signal, run) {
      if (signal.aborted) return 'cancelled'
      if (running < limits.maxRunning) running++
      else if (waiting.length >= limits.maxWaiting) return 'busy'
      else if ((await turn(signal)) === 'cancelled') return 'cancelled'
      try {
        return await run()
      } finally {
        const next = waiting.shift()
        if (next === undefined) running--
        else next.start()
      }
    },
  }
}
