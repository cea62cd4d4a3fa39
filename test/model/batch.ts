import { PROTOCOL_RULES } from '../../packages/dkg/src/ceremony/engine-types.ts'
import type { Arithmetic } from './identities.ts'
import { runScenario } from './run.ts'
import { type Control, drawScenario } from './scenario.ts'

/** Runs of one kind with ascending seeds. */
export interface Batch {
  readonly from: number
  readonly count: number
  readonly arithmetic: Arithmetic
  /** The rule that is switched off. */
  readonly control?: Control
}

export interface Finding {
  readonly seed: number
  readonly arithmetic: Arithmetic
  readonly kind: string
  readonly what: string
}

/** Sums over runs. */
export interface Tally {
  readonly runs: number
  readonly conflicts: number
  readonly underheld: number
  readonly framed: number
  readonly stuck: number
  /** The most views any run within the bounds of its committees needed. */
  readonly maxViews: number
  readonly findings: readonly Finding[]
}

export const NO_RUNS: Tally = {
  runs: 0,
  conflicts: 0,
  underheld: 0,
  framed: 0,
  stuck: 0,
  maxViews: 0,
  findings: [],
}

export const addTallies = (a: Tally, b: Tally): Tally => ({
  runs: a.runs + b.runs,
  conflicts: a.conflicts + b.conflicts,
  underheld: a.underheld + b.underheld,
  framed: a.framed + b.framed,
  stuck: a.stuck + b.stuck,
  maxViews: Math.max(a.maxViews, b.maxViews),
  findings: [...a.findings, ...b.findings].slice(0, 100),
})

/** One run counts once for each kind of violation in it. `broken` is what should be impossible: it counts as a conflict. */
function runOne(seed: number, { arithmetic, control }: Batch): Tally {
  const scenario = drawScenario(seed, arithmetic, control)
  const rules = control && { ...PROTOCOL_RULES, [control]: false }
  const report = runScenario(scenario, rules && { rules })
  const has = (...kinds: readonly string[]): number =>
    report.violations.some(({ kind }) => kinds.includes(kind)) ? 1 : 0
  return {
    runs: 1,
    conflicts: has('conflict', 'broken'),
    underheld: has('underheld'),
    framed: has('framed'),
    stuck: has('stuck'),
    maxViews: scenario.withinBounds ? report.views : 0,
    findings: report.violations.map(({ kind, what }) => ({ seed, arithmetic, kind, what })),
  }
}

export function runBatch(batch: Batch): Tally {
  let tally = NO_RUNS
  for (let seed = batch.from; seed < batch.from + batch.count; seed++) {
    try {
      tally = addTallies(tally, runOne(seed, batch))
    } catch (error) {
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
      const finding = { seed, arithmetic: batch.arithmetic, kind: 'threw', what }
      tally = addTallies(tally, { ...NO_RUNS, runs: 1, conflicts: 1, findings: [finding] })
    }
  }
  return tally
}
