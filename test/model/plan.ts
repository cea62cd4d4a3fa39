import type { Batch } from './batch.ts'
import type { Arithmetic } from './identities.ts'
import type { Control } from './scenario.ts'

/** The three rules that the model test must not be able to do without, and their names in its report (protocol 4). */
export const CONTROLS = {
  no_repropose: 'carryCert1',
  late_commit: 'commitOnlyInOwnView',
  abandon_after_cert1: 'cert1ForbidsAbandon',
} as const satisfies Readonly<Record<string, Control>>

const BATCH = 20
/** Of the runs over the real curve, one in so many is over noble, the slow one. */
const NOBLE_EVERY = 8

export interface PlanOptions {
  readonly runs: number
  readonly seed: number
  /** How many of the runs use the real curve and signatures. */
  readonly real: number
  /** Runs of each control; 0 leaves them out. */
  readonly controls: number
}

/** The real runs first: they are the long ones. Seeds of all of them differ, but for those of the controls. */
export function planBatches({ runs, seed, real, controls }: PlanOptions): Batch[] {
  const noble = Math.floor(real / NOBLE_EVERY)
  const native = real - noble
  return [
    ...split(seed, noble, 'noble', 1),
    ...split(seed + noble, native, 'native', 4),
    ...split(seed + real, runs - real, 'cheap', BATCH),
    ...Object.values(CONTROLS).flatMap((control) => split(seed, controls, 'cheap', BATCH, control)),
  ]
}

function split(from: number, count: number, arithmetic: Arithmetic, size: number, control?: Control): Batch[] {
  return Array.from({ length: Math.ceil(count / size) }, (_, at) => ({
    from: from + at * size,
    count: Math.min(size, count - at * size),
    arithmetic,
    ...(control && { control }),
  }))
}
