import type { Clock, MonotonicCounter, RecordKind } from '../ports.ts'
import { storeError } from './errors.ts'

/** Written every second under load, and watched in other ways: the log by its own chain, the running time by asking for both clocks. */
const SELDOM: ReadonlySet<RecordKind> = new Set<RecordKind>(['odometer', 'audit'])
/** A TPM takes some hundred thousand writes of a counter in its life. */
const SELDOM_MS = 6 * 3_600_000

/** Ties every committed keyring to a value of the sealer's counter. */
export interface CommitCounter {
  /** The value that the next keyring is to be written with. @param kind of the record that changes; undefined for a new store */
  next(kind: RecordKind | undefined): number
  /** After that keyring is durable: brings the counter to its value, after which no keyring before it opens. */
  settle(): Promise<void>
}

/**
 * A keyring is written with the counter's value plus one, then the counter counts. A crash between the two leaves a keyring one ahead,
 * which only this store can have written: `requireNewest` takes it and counts. Every keyring with a lower value is an old one put back.
 * Records that are written all the time count when the process has not counted yet, and then every six hours.
 * @param settled the value of the counter and of the present keyring
 */
export function countCommits(
  counter: MonotonicCounter,
  settled: number,
  clock: Pick<Clock, 'monotonicMs'>,
): CommitCounter {
  let reached = settled
  let target = settled
  let countedMs = Number.NEGATIVE_INFINITY
  return {
    next(kind) {
      const due = kind !== undefined && (!SELDOM.has(kind) || clock.monotonicMs() - countedMs >= SELDOM_MS)
      target = due ? reached + 1 : reached
      return target
    },
    async settle() {
      if (target === reached) return
      await counter.increment()
      reached = target
      countedMs = clock.monotonicMs()
    },
  }
}

/**
 * That a keyring is the newest one of its store, and finishes a commit that was cut short before the counter counted.
 * @throws KmsError `rollback-detected`, `store-corrupt` when a keyring has a count and its sealer no counter, or the other way round
 */
export async function requireNewest(counter: MonotonicCounter | undefined, count: number | undefined): Promise<void> {
  if (counter === undefined && count === undefined) return
  if (counter === undefined || count === undefined)
    throw storeError('store-corrupt', 'the keyring file and its sealer do not agree whether commits are counted')
  const value = await counter.read()
  if (count === value) return
  if (count === value + 1) return counter.increment()
  const data = { store: count, counter: value }
  if (count < value)
    throw storeError(
      'rollback-detected',
      `this store is an old copy: it was written at count ${count}, and the counter stands at ${value}. Put the newest data directory back; where there is none, restore a backup into a new data directory, or replace the node: an old copy would vote and serve what was erased since`,
      { data },
    )
  throw storeError(
    'rollback-detected',
    `the counter was put back: it stands at ${value}, and the store was written at count ${count}. Whoever runs this machine's TPM restored an old state of it: restore a backup on a machine you trust, or replace the node`,
    { data },
  )
}
