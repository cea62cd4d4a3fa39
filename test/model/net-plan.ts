import type { MessageName } from '../../packages/dkg/src/ceremony/signed-message.ts'
import type { Dice } from './dice.ts'
import type { Control } from './scenario.ts'
import type { WireName } from './wire.ts'

/** The timer of view 0 of a committee of 7. */
export const VIEW_MS = 5 * 1_350

export interface Partition {
  readonly fromMs: number
  readonly toMs: number
  readonly side: ReadonlySet<number>
  /** What crosses it arrives when it heals; otherwise it is lost. */
  readonly holds: boolean
  /** Only messages out of `side` are cut. */
  readonly oneWay: boolean
}

/** The network until it becomes calm. */
export interface NetPlan {
  readonly loss: number
  readonly duplication: number
  /** Typical delay, and the share of messages that take up to `tailMs` instead. */
  readonly delayMs: number
  readonly tail: number
  readonly tailMs: number
  /** Messages of one kind that the adversary loses, or delays by up to `tailMs`, with this probability. */
  readonly lossOf: Partial<Record<WireName, number>>
  readonly delayOf: Partial<Record<WireName, number>>
  readonly partitions: readonly Partition[]
}

const NAMES: readonly MessageName[] = ['join', 'joinset', 'deal', 'vouch', 'complain', 'propose', 'vote', 'commit']

export function drawNet(dice: Dice, everybody: readonly number[], calmMs: number, bias: Control | undefined): NetPlan {
  const rough = dice.chance(0.75)
  const few = (): number => (rough ? dice.pick([0, 0, 0.05, 0.2, 0.4]) : 0)
  const lossOf: Partial<Record<WireName, number>> = {}
  const delayOf: Partial<Record<WireName, number>> = {}
  if (rough && dice.chance(0.5)) lossOf[dice.pick(NAMES)] = dice.pick([0.3, 0.6, 0.9])
  if (rough && dice.chance(0.5)) delayOf[dice.pick(NAMES)] = dice.pick([0.3, 0.6, 0.9])
  if (rough && dice.chance(0.3)) lossOf.certificate = 0.9
  if (bias !== undefined) {
    // Outcomes that hardly anybody sees certified.
    lossOf.commit = dice.pick([0.98, 1, 1, 1])
    lossOf.certificate = 0.9
  }
  // Votes that arrive when their view was left.
  if (bias === 'commitOnlyInOwnView') delayOf.vote = dice.pick([0.9, 1])
  return {
    loss: few(),
    duplication: few(),
    delayMs: dice.pick([20, 50, 200]),
    tail: few(),
    tailMs: bias === 'commitOnlyInOwnView' ? 2 * VIEW_MS : dice.pick([500, 3_000, 2 * VIEW_MS]),
    lossOf,
    delayOf,
    partitions: rough ? drawPartitions(dice, everybody, calmMs) : [],
  }
}

function drawPartitions(dice: Dice, everybody: readonly number[], calmMs: number): Partition[] {
  return Array.from({ length: dice.pick([0, 0, 1, 2, 4]) }, () => {
    const fromMs = dice.within(0, calmMs)
    const side = new Set(dice.some(everybody, dice.pick([0.2, 0.5])))
    return {
      fromMs,
      toMs: Math.min(calmMs, fromMs + dice.within(100, 2 * VIEW_MS)),
      side,
      holds: dice.chance(0.5),
      oneWay: dice.chance(0.3),
    }
  })
}
