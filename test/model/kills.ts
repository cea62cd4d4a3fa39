import { type Kill, runSweep, type SweepCase } from './kill-sweep.ts'

/** The power goes at every change of the disk, with both fates of what was not synced, and on both sides of every send. */
export function killsOf(diskSteps: number, sends: number): Kill[] {
  const onDisk = Array.from({ length: diskSteps }, (_, step) =>
    (['synced', 'everything'] as const).map((survives): Kill => ({ at: 'disk', step, survives })),
  )
  const onSend = Array.from({ length: sends }, (_, number) =>
    (['before', 'after'] as const).map((side): Kill => ({ at: 'send', number, side })),
  )
  return [...onDisk.flat(), ...onSend.flat()]
}

/** Every node that plays a part of its own. */
export const SWEEPS: readonly (readonly [name: string, sweep: SweepCase])[] = [
  ['a key generation, its leader', { kind: 'keygen', victim: 1, seed: 1 }],
  ['a key generation, another node', { kind: 'keygen', victim: 2, seed: 1 }],
  ['a resharing, a member that stays', { kind: 'reshare', victim: 1, seed: 1 }],
  ['a resharing, the member that leaves', { kind: 'reshare', victim: 4, seed: 1 }],
  ['a resharing, the member that comes', { kind: 'reshare', victim: 5, seed: 1 }],
]

export interface Swept {
  readonly kills: number
  /** Runs in which the power did not go, or went and broke something. */
  readonly broken: readonly { readonly kill: Kill; readonly killed: boolean; readonly problems: readonly string[] }[]
}

/** Tries every `stride`-th kill of one case, once each. @throws Error when the run without a kill has a problem */
export async function sweepAll(sweep: SweepCase, stride = 1): Promise<Swept> {
  const whole = await runSweep(sweep)
  if (whole.problems.length > 0) throw new Error(`without a kill: ${whole.problems.join(', ')}`)
  const kills = killsOf(whole.diskSteps, whole.sends).filter((_, at) => at % stride === 0)
  const broken: Swept['broken'][number][] = []
  for (const kill of kills) {
    const { killed, problems } = await runSweep({ ...sweep, kill })
    if (!killed || problems.length > 0) broken.push({ kill, killed, problems })
  }
  return { kills: kills.length, broken }
}
