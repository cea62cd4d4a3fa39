import { randomFillSync } from 'node:crypto'
import { join } from 'node:path'
import type { Clock, Rng } from './ports.ts'

/** The clock of this machine. */
export const systemClock: Clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() }

/** The operating system's generator. */
export const systemRng: Rng = { bytes: (length) => randomFillSync(new Uint8Array(length)) }

/** The sealed store of a data directory. */
export const storeDirectory = (dataDir: string): string => join(dataDir, 'store')
