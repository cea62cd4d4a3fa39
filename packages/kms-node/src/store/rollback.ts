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
  /** Whether the present keyring has to be written once more before anything else: another one that opens may exist. */
  readonly hasRivals: boolean
}

/** After an opening at the counter's value, and after a failed write: {@link countCommits}. */
const ALL_ROUNDS = 2

/**
 * A keyring is written with the counter's value plus one, then the counter counts. A crash between the two leaves a keyring one ahead,
 * which only this store can have written: `openCommits` takes it and counts. Every keyring with a lower value is an old one put back.
 * Records that are written all the time count when the process has not counted yet, and then every six hours.
 *
 * Rivals are keyrings that the disk's owner kept and could choose among: of one count, where it was used twice (power that went before the
 * counter counted, a failed write), or of two counts in a row. What holds at every moment: *once an opening has handed anything out, every
 * keyring that existed before that opening began is refused, for ever.* So whatever was seen is in every keyring that still opens.
 *
 * Proof. Let v be the counter's value; it never falls. (1) Whoever writes a keyring knew that the counter stood at c, and gives it c + 1
 * at most: so there is none above v + 1. (2) Each round writes the present keyring once more with the counter's value plus one, and goes on
 * only when the counter came to exactly that: two rounds after an opening at v bring it to v + 2, and so do the count that was owed and one
 * round after an opening at v + 1. (3) By (1) nothing that existed when the opening began, at v, is above v + 1. `openCommits` takes v + 2
 * and v + 3 alone from then on. (4) An opening cut short handed nothing out, and leaves a keyring of v or v + 1 that holds the same records.
 * One round would not do: at v + 1 it leaves rivals of that count, which open.
 *
 * This is about power and disks. Of two processes that run at once on copies of a store, which takes the machine's root, the next that
 * counts finds the counter elsewhere and stops.
 * @param settled the value of the counter and of the present keyring
 * @param rounds how often the present keyring has to be written once more before anything is handed out
 */
export function countCommits(
  counter: MonotonicCounter,
  settled: number,
  clock: Pick<Clock, 'monotonicMs'>,
  rounds = 0,
): CommitCounter {
  let reached = settled
  let target = settled
  let countedMs = Number.NEGATIVE_INFINITY
  let left = rounds
  return {
    get hasRivals() {
      return left > 0
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
      if (left > 0) left--
    },
    giveUp() {
      if (target > reached) left = ALL_ROUNDS
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
  if (count === value) return countCommits(counter, count, clock, ALL_ROUNDS)
  if (count === value + 1) {
    await countTo(counter, count)
    return countCommits(counter, count, clock, ALL_ROUNDS - 1)
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
