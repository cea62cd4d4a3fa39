import { concatBytes } from '@noble/hashes/utils.js'
import { attempt, decodeAll, Secret, u64, u8 } from '@tkms/dkg'
import type { Clock, RecordStore } from '../ports.ts'
import { storeError } from '../store/errors.ts'
import { unlessDamaged } from './damage.ts'

/** How long this node has existed, as far as it can know. Neither number ever falls. */
export interface Reading {
  /** Milliseconds that its process ran, by the monotonic clock: no wall clock moves it. */
  readonly ranMs: number
  /** The same with the time between two runs, which only the wall clock can tell; a clock set back adds nothing. */
  readonly totalMs: number
}

/**
 * Measures how long ago something happened, over restarts and whatever becomes of the wall clock. While the process runs only the
 * monotonic clock counts. A pause between two runs is what the wall clock says, but at least nothing: set back it delays, and the
 * running time goes on counting, so it never delays for ever; set forward it can pass for a long pause, so what must not come too
 * early also asks for running time.
 */
export interface Odometer {
  read(): Reading
  /** At least this much has passed: something durable says so. For an odometer whose own record was lost. */
  raise(least: Reading): void
  /** Makes the present reading durable. What ran since the last save counts as a pause after a crash. @throws errors of the store */
  save(): Promise<void>
}

const ID = 'odometer'
const VERSION = 1

interface Saved extends Reading {
  /** Unix milliseconds. */
  readonly atMs: number
}

/**
 * u8 1 || u64 ranMs || u64 totalMs || u64 Unix milliseconds of the save. A record that is damaged counts as none.
 * @throws errors of the store
 */
export async function openOdometer(records: RecordStore, clock: Clock): Promise<Odometer> {
  const saved = await readSaved(records)
  const pauseMs = saved === undefined ? 0 : Math.max(0, Math.floor(clock.nowMs()) - saved.atMs)
  let base = { ranMs: saved?.ranMs ?? 0, totalMs: (saved?.totalMs ?? 0) + pauseMs }
  const startMs = clock.monotonicMs()
  const read = (): Reading => {
    const runMs = Math.floor(clock.monotonicMs() - startMs)
    return { ranMs: base.ranMs + runMs, totalMs: base.totalMs + runMs }
  }
  return {
    read,
    raise: (least) => {
      const now = read()
      base = {
        ranMs: base.ranMs + Math.max(0, least.ranMs - now.ranMs),
        totalMs: base.totalMs + Math.max(0, least.totalMs - now.totalMs),
      }
    },
    async save() {
      const { ranMs, totalMs } = read()
      const record = new Secret(
        concatBytes(u8(VERSION), u64(ranMs), u64(totalMs), u64(Math.max(0, Math.floor(clock.nowMs())))),
      )
      try {
        await records.put('odometer', ID, record)
      } finally {
        record.destroy()
      }
    },
  }
}

async function readSaved(records: RecordStore): Promise<Saved | undefined> {
  const record = await unlessDamaged(() => records.get('odometer', ID))
  if (record === undefined) return undefined
  try {
    return attempt(() =>
      record.use((bytes) =>
        decodeAll(bytes, 'odometer', (reader) => {
          if (reader.u8('odometer.version') !== VERSION)
            throw storeError('store-corrupt', 'the odometer is of another version')
          return {
            ranMs: reader.u64('odometer.ranMs'),
            totalMs: reader.u64('odometer.totalMs'),
            atMs: reader.u64('odometer.atMs'),
          }
        }),
      ),
    )
  } finally {
    record.destroy()
  }
}
