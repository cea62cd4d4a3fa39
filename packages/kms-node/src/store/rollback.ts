import type { Clock, MonotonicCounter, RecordKind } from '../ports.ts'
import { storeError } from './errors.ts'

/** Written every second under load, and watched in other ways: the log by its own chain, the running time by asking for both clocks; or, the proofs of peers, worth little: docs/threat-model.md. */
const SELDOM: ReadonlySet<RecordKind> = new Set<RecordKind>(['odometer', 'audit', 'attested'])
/** A TPM takes some hundred thousand writes of a counter in its life. */
const SELDOM_MS = 6 * 3_600_000

/** What a keyring is written for: a change of a record, or nothing but a count of its own. */
export type CommitReason = RecordKind | 'renewal'

/** Ties every committed keyring to a value of the sealer's counter. */
export interface CommitCounter {
  /** The value that the next keyring is to be written with. @param reason undefined for a new store */
  next(reason: CommitReason | undefined): number
  /**
   * After that keyring is durable: brings the counter to its value, after which no keyring before it opens.
   * @throws KmsError `rollback-detected` when something else counts as well
   */
  settle(): Promise<void>
  /** After writing that keyring failed: it may lie on the disk all the same, with a count that the next one would share. */
  giveUp(): void
  /** Whether the present keyring has to be written once more before anything else: another one of its count, or of the next, may exist. */
  readonly hasRivals: boolean
}

/**
 * A keyring is written with the counter's value plus one, then the counter counts. A crash between the two leaves a keyring one ahead,
 * which only this store can have written: `openCommits` takes it and counts. Every keyring with a lower value is an old one put back.
 * Records that are written all the time count when the process has not counted yet, and then every six hours.
 *
 * Keyrings of one count, of which the disk's owner could choose, come about where a count is used twice: after a crash before the counter
 * counted, and after a failed write. So whoever goes on from a value of the counter must have brought it there: then no keyring that
 * another process wrote has the count of anything written from now on.
 * @param settled the value of the counter and of the present keyring
 * @param counted whether this process has brought the counter there
 */
export function countCommits(
  counter: MonotonicCounter,
  settled: number,
  clock: Pick<Clock, 'monotonicMs'>,
  counted = true,
): CommitCounter {
  let reached = settled
  let target = settled
  let countedMs = Number.NEGATIVE_INFINITY
  let hasRivals = !counted
  return {
    get hasRivals() {
      return hasRivals
    },
    next(reason) {
      const isDue = (kind: CommitReason): boolean =>
        kind === 'renewal' || !SELDOM.has(kind) || clock.monotonicMs() - countedMs >= SELDOM_MS
      target = reason !== undefined && isDue(reason) ? reached + 1 : reached
      return target
    },
    async settle() {
      if (target === reached) return
      await countTo(counter, target)
      reached = target
      countedMs = clock.monotonicMs()
      hasRivals = false
    },
    giveUp() {
      if (target > reached) hasRivals = true
    },
  }
}

async function countTo(counter: MonotonicCounter, target: number): Promise<void> {
  const value = await counter.increment()
  if (value === target) return
  throw storeError(
    'rollback-detected',
    `the counter stands at ${value} after counting, and not at ${target}: something else counts with it, as a second copy of this store would on the same TPM. Stop the other one; if there is none, restore a backup or replace the node`,
    { data: { store: target, counter: value } },
  )
}

/**
 * That a keyring is the newest one of its store, and finishes a commit that was cut short before the counter counted.
 * @returns undefined where commits are not counted
 * @throws KmsError `rollback-detected`, `store-corrupt` when a keyring has a count and its sealer no counter, or the other way round
 */
export async function openCommits(
  counter: MonotonicCounter | undefined,
  count: number | undefined,
  clock: Pick<Clock, 'monotonicMs'>,
): Promise<CommitCounter | undefined> {
  if (counter === undefined && count === undefined) return undefined
  if (counter === undefined || count === undefined)
    throw storeError('store-corrupt', 'the keyring file and its sealer do not agree whether commits are counted')
  const value = await counter.read()
  if (count === value) return countCommits(counter, count, clock, false)
  if (count === value + 1) {
    await countTo(counter, count)
    return countCommits(counter, count, clock)
  }
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
