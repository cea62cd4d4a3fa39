import { availableParallelism } from 'node:os'
import type { ServingConfig } from '../../config/types.ts'
import type { Log } from '../../ops/log.ts'
import { createWorkerPool, type WorkerPool } from './worker-pool.ts'

const MAX_DEFAULT = 16

/** How many threads compute: as configured, or one for each core where there are several. */
export function workerCount({ workers }: ServingConfig, cores: number = availableParallelism()): number {
  return workers ?? (cores > 1 ? Math.min(cores, MAX_DEFAULT) : 0)
}

/** The compute threads of a node, or none. None runs before it is wanted. */
export function openWorkers(config: ServingConfig, log: Log): WorkerPool | undefined {
  const size = workerCount(config)
  if (size === 0) return undefined
  return createWorkerPool({ size, onLost: (cause) => log.error({ cause }, 'compute-thread-lost') })
}
