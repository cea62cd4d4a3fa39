import type { SignMessage } from '@tkms/dkg'
import type { NodeConfig } from '../config/types.ts'
import { type Log, logDelegation } from '../ops/log.ts'
import type { Rng } from '../ports.ts'
import type { Stop } from '../stop-all.ts'
import type { Asking } from './open-asking.ts'
import { createDelegationPipeline, type DelegationPipeline } from './pipeline.ts'
import type { ReleaseLedger } from './release-ledger.ts'
import { openWorkers } from './workers/open-workers.ts'

/** What answers those whom `asking` lets ask, with its compute threads. */
export function openServing(node: {
  readonly config: NodeConfig
  readonly asking: Asking
  readonly ledger: ReleaseLedger
  /** Signs answers with the node's identity. */
  readonly sign: SignMessage
  readonly rng: Rng
  readonly log: Log
  /** Items whose partial went out. */
  readonly onReleased: (items: number) => void
}): { readonly pipeline: DelegationPipeline; readonly stopWorkers: Stop } {
  const { config, asking, ledger, sign, rng, log, onReleased } = node
  const workers = openWorkers(config.serving, log)
  const pipeline = createDelegationPipeline({
    ...asking,
    ledger,
    sign,
    rng,
    limits: config.limits,
    onEvent: (event) => {
      logDelegation(log, event)
      if (event.released !== undefined) onReleased(event.released)
    },
    workers,
  })
  return { pipeline, stopWorkers: async () => workers?.stop() }
}
