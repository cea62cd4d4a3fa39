import { setTimeout as wait } from 'node:timers/promises'

/** What became of the requests of one load. */
export interface Load {
  /** Of each request that succeeded: from when it was to be sent until its answer was there. */
  readonly latenciesMs: readonly number[]
  /** Codes or messages of those that failed. */
  readonly failures: readonly string[]
  /** From the first request to the last answer. */
  readonly tookMs: number
}

/** Succeeded requests per second. */
export const rateOf = ({ latenciesMs, tookMs }: Load): number => (latenciesMs.length * 1000) / tookMs

/** `concurrency` callers, each of which asks again as soon as it is answered, until `requests` were made. */
export async function closedLoop(
  ask: () => Promise<unknown>,
  { concurrency, requests }: { readonly concurrency: number; readonly requests: number },
): Promise<Load> {
  const record = recorder()
  let left = requests
  const caller = async (): Promise<void> => {
    while (left-- > 0) await record.run(ask, performance.now())
  }
  await Promise.all(Array.from({ length: concurrency }, caller))
  return record.end()
}

/**
 * Requests that come at random and wait for nobody (Poisson arrivals): latency counts from when a request was to come, so that a
 * system that falls behind is not spared.
 */
export async function openLoop(
  ask: () => Promise<unknown>,
  { perSecond, requests }: { readonly perSecond: number; readonly requests: number },
): Promise<Load> {
  const record = recorder()
  const running: Promise<void>[] = []
  let dueMs = performance.now()
  for (let n = 0; n < requests; n++) {
    // The time between two arrivals: -ln(1 - u) on average one.
    dueMs += (-Math.log(1 - Math.random()) * 1000) / perSecond
    const aheadMs = dueMs - performance.now()
    if (aheadMs > 1) await wait(aheadMs)
    running.push(record.run(ask, dueMs))
  }
  await Promise.all(running)
  return record.end()
}

function recorder(): { run(ask: () => Promise<unknown>, dueMs: number): Promise<void>; end(): Load } {
  const latenciesMs: number[] = []
  const failures: string[] = []
  const startMs = performance.now()
  return {
    async run(ask, dueMs) {
      try {
        await ask()
        latenciesMs.push(performance.now() - dueMs)
      } catch (cause) {
        failures.push(cause instanceof Error ? cause.message : String(cause))
      }
    },
    end: () => ({ latenciesMs, failures, tookMs: performance.now() - startMs }),
  }
}
