import type { Dice } from './dice.ts'
import type { WireName } from './wire.ts'

/** How a faulty node behaves. Probabilities are per message and receiver unless said otherwise. */
export type Habits =
  /** Says nothing from then on. */
  | { readonly kind: 'silent'; readonly diesAtMs: number }
  /** Honest, but its disk is put back to an earlier state at these times. */
  | { readonly kind: 'rolled-back'; readonly atMs: readonly number[] }
  | LiarHabits

export interface LiarHabits {
  readonly kind: 'liar'
  /** Copies of itself that it runs at the most, and the chance per step to start one from an earlier disk. */
  readonly copies: number
  readonly forking: number
  /** Chance that a copy does not take in a message. */
  readonly deafness: number
  /** Whom each copy talks to: all, or a share of the others drawn for each copy. */
  readonly audience: number
  readonly mutes: Partial<Record<WireName, number>>
  /** Chance per DEAL and receiver of a share that does not fit. */
  readonly spoiledShares: number
  /** The DEAL with spoiled shares goes to some only, the right one to the others. */
  readonly twoDeals: boolean
  /** Chance per DEAL heard of accusing its dealer: with a proof that proves nothing, or with a true one about a good share. */
  readonly falseComplaints: number
  /** Chance per PROPOSE or VOTE heard of voting and committing to its outcome, whatever was voted for before. */
  readonly votesForAll: number
  /** As leader: shows some members a JOINSET with fewer JOINs, or a PROPOSE with fewer dealings. */
  readonly splitsJoinset: boolean
  readonly splitsPropose: boolean
  /** Sends JOINs without the CERT1 it knows. */
  readonly hidesCert1: boolean
}

export function drawHabits(dice: Dice): Habits {
  return dice.weighted<() => Habits>([
    [2, () => ({ kind: 'silent', diesAtMs: dice.pick([0, dice.within(0, 3_000), dice.within(0, 20_000)]) })],
    [
      1,
      () => ({ kind: 'rolled-back', atMs: Array.from({ length: dice.within(1, 3) }, () => dice.within(200, 15_000)) }),
    ],
    [7, () => drawLiar(dice)],
  ])()
}

function drawLiar(dice: Dice): LiarHabits {
  const sometimes = (...values: readonly number[]): number => (dice.chance(0.4) ? dice.pick(values) : 0)
  const mutes: Partial<Record<WireName, number>> = {}
  for (const name of ['join', 'deal', 'vouch', 'vote', 'commit', 'certificate', 'status'] as const) {
    const chance = dice.chance(0.25) ? dice.pick([0.3, 0.7, 1]) : 0
    if (chance > 0) mutes[name] = chance
  }
  return {
    kind: 'liar',
    copies: dice.pick([1, 1, 2, 3]),
    forking: dice.pick([0.005, 0.03]),
    deafness: sometimes(0.1, 0.4),
    audience: dice.pick([1, 1, 0.6]),
    mutes,
    spoiledShares: sometimes(0.2, 0.5, 1),
    twoDeals: dice.chance(0.2),
    falseComplaints: sometimes(0.1, 0.4),
    votesForAll: sometimes(0.5, 1),
    splitsJoinset: dice.chance(0.4),
    splitsPropose: dice.chance(0.4),
    hidesCert1: dice.chance(0.4),
  }
}
