import type { RepairId, Secret } from '@tkms/dkg'
import { drawHedgedSeed } from '../hedged-seed.ts'
import type { Rng } from '../ports.ts'

/** A fresh seed for the parts of one repair, bound to the rid. @param nodeSeed 32 bytes, borrowed */
export const drawRepairSeed = (rng: Rng, nodeSeed: Secret, rid: RepairId): Secret =>
  drawHedgedSeed(rng, nodeSeed, Buffer.concat([Buffer.from('TKMS/1/repair-seed'), rid]))
