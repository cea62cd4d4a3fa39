import { createCeremonyEngine } from '../../packages/dkg/src/ceremony/engine.ts'
import type { CeremonyEffect, CeremonyParams, EnginePorts } from '../../packages/dkg/src/ceremony/engine-types.ts'
import type { Fault } from '../../packages/dkg/src/ceremony/evidence.ts'
import type { CeremonyState } from '../../packages/dkg/src/ceremony/state.ts'
import type { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'

/** What one simulated node ended with. */
export interface NodeResult {
  readonly index: ParticipantIndex
  certificate?: Uint8Array
  share?: Secret
  archived: boolean
  readonly failedViews: Extract<CeremonyEffect, { type: 'view-failed' }>[]
  rolledBackTo?: number
  abandonRefused?: string
  abandoned: boolean
  readonly faults: Fault[]
  readonly sent: Uint8Array[]
  phase: string
}

/** One engine under the scheduler of a simulation. */
export class SimulatedNode {
  readonly params: CeremonyParams
  readonly engine: ReturnType<typeof createCeremonyEngine>
  readonly result: NodeResult
  state: CeremonyState
  snapshot: Secret | undefined
  dead = false
  /** Counts restarts: timers of an earlier life do not fire. */
  epoch = 0

  constructor(params: CeremonyParams, ports: EnginePorts) {
    this.params = params
    this.engine = createCeremonyEngine(ports)
    this.state = this.engine.open(params).state
    this.result = {
      index: params.self,
      archived: false,
      faults: [],
      sent: [],
      phase: 'seeding',
      failedViews: [],
      abandoned: false,
    }
  }
}
