import type { Authorization } from '@tkms/dkg'
import { closedLoop, rateOf } from './load.ts'
import { percentile } from './statistics.ts'

/** What requests took that were made before and asked as fast as they were answered. */
export interface LoadCost {
  readonly items_per_s: number
  /** Of a request, from asking to its answer. */
  readonly p50_ms: number
  readonly p99_ms: number
}

/**
 * Asks every request once, always `inFlight` of them at a time.
 * @param run.items of each request
 * @throws Error when one was not answered
 */
export async function askAll(
  requests: readonly Authorization[],
  run: { readonly items: number; readonly inFlight: number },
  ask: (request: Authorization) => Promise<void>,
): Promise<LoadCost> {
  const left = requests.values()
  const askNext = async (): Promise<void> => {
    const { value } = left.next()
    if (value !== undefined) await ask(value)
  }
  const load = await closedLoop(askNext, { concurrency: run.inFlight, requests: requests.length })
  if (load.failures.length > 0) throw new Error(`${load.failures.length} requests failed: ${load.failures[0]}`)
  return {
    items_per_s: rateOf(load) * run.items,
    p50_ms: percentile(load.latenciesMs, 0.5),
    p99_ms: percentile(load.latenciesMs, 0.99),
  }
}
