import type { EngineRules } from '../../packages/dkg/src/ceremony/engine-types.ts'
import { faultTolerance } from '../../packages/dkg/src/ceremony/config.ts'
import { Dice } from './dice.ts'
import { drawHabits, type Habits } from './habits.ts'
import type { Arithmetic } from './identities.ts'
import { drawNet, type NetPlan, VIEW_MS } from './net-plan.ts'

/** A committee by indices. */
export interface CommitteePlan {
  readonly members: readonly number[]
  readonly t: number
}

/** One X and when the operator of each node agrees to it, in ms of the run. */
export interface ProposalPlan {
  readonly name: string
  readonly attempt: number
  /** Makes rivals of one attempt differ. */
  readonly notAfter: number
  readonly old?: CommitteePlan
  readonly next: CommitteePlan
  readonly approvals: ReadonlyMap<number, number>
}

/**
 * What the operators do. `plain`: one X. `abandon`: some give it up at any time, in the end all do, then comes the next attempt.
 * `rivals`: two X of one attempt, each approved by some; both are given up. `give-up`: RESHARE whose new members are lost, so that the old
 * committee authorizes the next attempt over it. `degraded`: so many old members are dead that AUTH is a degraded one.
 */
export type Story = 'plain' | 'abandon' | 'rivals' | 'give-up' | 'degraded'

export interface Scenario {
  readonly seed: number
  readonly arithmetic: Arithmetic
  readonly kind: 'keygen' | 'reshare'
  readonly story: Story
  readonly proposals: readonly ProposalPlan[]
  readonly faulty: ReadonlyMap<number, Habits>
  /** At most f faulty nodes in every committee: progress and holders are promised too. */
  readonly withinBounds: boolean
  readonly net: NetPlan
  /** Chance of a crash at each effect of an honest node, before the network is calm. */
  readonly crashes: number
  /** When operators lose patience, per node; story `abandon`. */
  readonly impatience: ReadonlyMap<number, number>
  readonly calmMs: number
}

export type Control = keyof EngineRules

const SIZES = [4, 4, 4, 4, 5, 5, 5, 7, 7, 10] as const

/** @param bias makes the schedules that the rule in question is there for more frequent; the generator stays the same */
export function drawScenario(seed: number, arithmetic: Arithmetic, bias?: Control): Scenario {
  const dice = new Dice(seed, 1)
  const small = bias !== undefined || arithmetic !== 'cheap'
  const kind: Scenario['kind'] = dice.chance(bias === undefined ? 0.5 : 0.25) ? 'reshare' : 'keygen'
  const story = drawStory(dice, kind, bias)
  const committees = drawCommittees(dice, kind, story, small)
  const faulty = drawFaulty(dice, story, committees)
  const calmMs = drawCalm(dice, bias)
  return {
    seed,
    arithmetic,
    kind,
    story,
    proposals: drawProposals(dice, story, committees),
    faulty: faulty.habits,
    withinBounds: faulty.withinBounds,
    net: drawNet(dice, [...new Set(Object.values(committees).flatMap((plan) => plan?.members ?? []))], calmMs, bias),
    crashes: dice.weighted([
      [3, 0],
      [2, 0.002],
      [1, 0.02],
    ]),
    impatience: drawImpatience(dice, story, committees.next, calmMs, bias),
    calmMs,
  }
}

/** A control needs a storm that outlasts a view. */
function drawCalm(dice: Dice, bias: Control | undefined): number {
  if (bias !== undefined) return dice.within(2 * VIEW_MS, 6 * VIEW_MS)
  return dice.weighted([
    [1, 0],
    [6, dice.within(500, 3 * VIEW_MS)],
    [2, dice.within(VIEW_MS, 8 * VIEW_MS)],
  ])
}

function drawImpatience(
  dice: Dice,
  story: Story,
  { members }: CommitteePlan,
  calmMs: number,
  bias: Control | undefined,
): ReadonlyMap<number, number> {
  if (story !== 'abandon') return new Map()
  const share = bias === undefined ? 0.5 : 0.9
  const [from, to] = bias === undefined ? [0, Math.max(calmMs, 2_000)] : [2_000, 15_000]
  return new Map(dice.some(members, share).map((index) => [index, dice.within(from, to)]))
}

function drawStory(dice: Dice, kind: Scenario['kind'], bias: Control | undefined): Story {
  if (bias === 'cert1ForbidsAbandon') return 'abandon'
  if (bias !== undefined) return 'plain'
  if (kind === 'keygen')
    return dice.weighted([
      [10, 'plain'],
      [3, 'abandon'],
      [1, 'rivals'],
    ])
  return dice.weighted([
    [10, 'plain'],
    [2, 'abandon'],
    [1, 'rivals'],
    [2, 'give-up'],
    [2, 'degraded'],
  ])
}

interface Committees {
  readonly old?: CommitteePlan
  readonly next: CommitteePlan
  /** Of the next attempt, after `give-up`. */
  readonly later?: CommitteePlan
}

function drawCommittees(dice: Dice, kind: Scenario['kind'], story: Story, small: boolean): Committees {
  const size = (): number => (small ? dice.pick([4, 4, 5, 7]) : dice.pick(SIZES))
  const first = drawCommittee(dice, range(1, size()))
  if (kind === 'keygen') return { next: first }
  const next = changeMembers(dice, first, size)
  if (story !== 'give-up') return { old: first, next }
  // One new member more than the ceremony tolerates will be lost.
  const fresh = range(40, 40 + faultTolerance(next.members.length, next.t))
  const lost = { members: [...next.members.slice(0, Math.max(2, next.members.length - fresh.length)), ...fresh], t: 2 }
  const widened = { ...lost, t: Math.min(next.t, lost.members.length - 1) }
  return { old: first, next: widened, later: changeMembers(dice, first, size) }
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, at) => from + at)

/** Mostly thresholds that leave room for faults, now and then any. */
function drawCommittee(dice: Dice, members: readonly number[]): CommitteePlan {
  const n = members.length
  const all = range(2, n - 1)
  const useful = all.filter((t) => faultTolerance(n, t) > 0)
  return { members, t: dice.pick(dice.chance(0.85) && useful.length > 0 ? useful : all) }
}

/** Refresh, or members that leave, come, are replaced, and another threshold. New indices are never old ones. */
function changeMembers(dice: Dice, old: CommitteePlan, size: () => number): CommitteePlan {
  if (dice.chance(0.3)) return old
  const n = size()
  const stay = dice.sample(
    old.members,
    dice.weighted([
      [4, Math.min(n, old.members.length)],
      [3, Math.ceil(n / 2)],
      [1, 0],
    ]),
  )
  const come = range(20, 20 + n - stay.length - 1)
  return drawCommittee(
    dice,
    [...stay, ...come].toSorted((a, b) => a - b),
  )
}

const toleratedOf = ({ members, t }: CommitteePlan): number => faultTolerance(members.length, t)

/** Faulty nodes of every committee within its f, or, for safety alone, up to t - 1 of them. */
function drawFaulty(
  dice: Dice,
  story: Story,
  { old, next, later }: Committees,
): { readonly habits: ReadonlyMap<number, Habits>; readonly withinBounds: boolean } {
  const committees = [old, next, later].filter((plan) => plan !== undefined)
  const everybody = [...new Set(committees.flatMap(({ members }) => members))]
  const beyond = story === 'plain' && dice.chance(0.12)
  const room = new Map(committees.map((plan) => [plan, beyond ? plan.t - 1 : toleratedOf(plan)]))
  const habits = new Map<number, Habits>()
  const wanted = dice.chance(0.15) ? 0 : 99
  const admit = (index: number, chosen: Habits): void => {
    const inside = committees.filter(({ members }) => members.includes(index))
    if (habits.size >= wanted || inside.some((plan) => (room.get(plan) ?? 0) < 1)) return
    for (const plan of inside) room.set(plan, (room.get(plan) ?? 0) - 1)
    habits.set(index, chosen)
  }
  for (const index of dice.shuffle(everybody)) admit(index, drawHabits(dice))
  let withinBounds = committees.every((plan) => count(plan, habits) <= toleratedOf(plan))
  if (story === 'give-up') {
    for (const index of next.members) if (index >= 40) habits.set(index, { kind: 'silent', diesAtMs: 0 })
    withinBounds = true
  }
  if (story === 'degraded' && old !== undefined) killOld(dice, old, next, habits)
  return { habits, withinBounds }
}

const count = ({ members }: CommitteePlan, habits: ReadonlyMap<number, Habits>): number =>
  members.filter((index) => habits.has(index)).length

/** More than f_old old members die, t_old honest ones and the whole promise of newConfig stay. */
function killOld(dice: Dice, old: CommitteePlan, next: CommitteePlan, habits: Map<number, Habits>): void {
  for (const index of dice.shuffle(old.members)) {
    const alive = old.members.filter((member) => !habits.has(member)).length
    const tolerated = !next.members.includes(index) || count(next, habits) < toleratedOf(next)
    if (alive > old.t && tolerated && !habits.has(index)) habits.set(index, { kind: 'silent', diesAtMs: 0 })
  }
}

function drawProposals(dice: Dice, story: Story, { old, next, later }: Committees): ProposalPlan[] {
  const parties = [...new Set([...(old?.members ?? []), ...next.members])]
  const skew = dice.weighted([
    [8, 1_500],
    [2, 2 * VIEW_MS],
    [0.08, 60 * VIEW_MS],
  ])
  const approvals = (who: readonly number[]): ReadonlyMap<number, number> =>
    new Map(who.map((index) => [index, dice.within(0, skew)]))
  const plan = (name: string, attempt: number, who: readonly number[], to = next): ProposalPlan => ({
    name,
    attempt,
    notAfter: 2_000_000_000 + name.length,
    ...(old && { old }),
    next: to,
    approvals: approvals(who),
  })
  if (story === 'rivals') {
    const half = new Set(dice.some(parties, 0.5))
    const rest = parties.filter((index) => !half.has(index))
    return [plan('a0', 0, [...half]), plan('a0-rival', 0, rest), plan('a1', 1, [])]
  }
  const first = plan('a0', 0, parties)
  if (story === 'abandon') return [first, plan('a1', 1, [])]
  return story === 'give-up' ? [first, plan('a1', 1, [], later)] : [first]
}
