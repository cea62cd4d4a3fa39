import { setImmediate } from 'node:timers/promises'

/** After this many items of a batch other work gets its turn. */
const ITEMS_PER_TURN = 8

/** Thrown between two items of a batch whose caller left. */
export class Cancelled extends Error {}

/**
 * Runs over the items of a batch, begun in their order.
 * @param lanes how many may wait for something at once
 * @throws Cancelled
 */
export async function eachItem<I, T>(
  items: readonly I[],
  signal: AbortSignal,
  run: (item: I, at: number) => T | Promise<T>,
  lanes = 1,
): Promise<readonly T[]> {
  const [only] = items
  if (only !== undefined && items.length === 1) {
    if (signal.aborted) throw new Cancelled()
    return [await run(only, 0)]
  }
  const results: T[] = []
  const left = inOrder(items)
  const lane = async (): Promise<void> => {
    for (const [at, item] of left) {
      if (at % ITEMS_PER_TURN === ITEMS_PER_TURN - 1) await setImmediate()
      if (signal.aborted) throw new Cancelled()
      results[at] = await run(item, at)
    }
  }
  // The lanes share one generator; the first that fails ends it for all, since leaving a loop closes the generator it goes over.
  await Promise.all(Array.from({ length: Math.min(lanes, items.length) }, lane))
  return results
}

function* inOrder<I>(items: readonly I[]): Generator<readonly [number, I]> {
  yield* items.entries()
}
