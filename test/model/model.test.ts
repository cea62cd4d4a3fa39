import { describe, expect, it } from 'vitest'
import { runBatch } from './batch.ts'
import { CONTROLS, planBatches } from './plan.ts'
import { runScenario } from './run.ts'
import { type Control, drawScenario } from './scenario.ts'

/** A sample of what `npm run sim` does at length. A failing run is printed with its seed: `npm run sim -- --runs 1 --seed S --trace`. */
describe('row 19: random adversaries', () => {
  it('never break what the protocol promises, over the cheap group', () => {
    const tally = runBatch({ from: 1, count: 40, arithmetic: 'cheap' })
    expect(tally.findings).toEqual([])
    expect(tally).toMatchObject({ runs: 40, conflicts: 0, underheld: 0, framed: 0, stuck: 0 })
    expect(tally.maxViews).toBeGreaterThan(1)
  })

  it('nor over the real curve with real signatures', () => {
    const tally = runBatch({ from: 1, count: 2, arithmetic: 'native' })
    expect(tally.findings).toEqual([])
    expect(tally.runs).toBe(2)
  })

  it('does the same again for the same seed', () => {
    const trace = (): string[] => {
      const lines: string[] = []
      runScenario(drawScenario(11, 'cheap'), { trace: (line) => lines.push(line) })
      return lines
    }
    const first = trace()
    expect(first.length).toBeGreaterThan(50)
    expect(trace()).toEqual(first)
  })

  for (const [name, control] of Object.entries<Control>(CONTROLS))
    it(`finds two outcomes where the rule is switched off: ${name}`, () => {
      let runs = 0
      for (let seed = 1; seed <= 120; seed++) {
        runs += runBatch({ from: seed, count: 1, arithmetic: 'cheap', control }).conflicts
        if (runs > 0) return
      }
      expect(runs).toBeGreaterThan(0)
    })
})

it('plans every run once, with as many real ones as asked for', () => {
  const batches = planBatches({ runs: 1234, seed: 5, real: 61, controls: 7 })
  const protocol = batches.filter(({ control }) => control === undefined)
  const seeds = protocol.flatMap(({ from, count }) => Array.from({ length: count }, (_, at) => from + at))
  expect(seeds.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 1234 }, (_, at) => 5 + at))
  const real = protocol.filter(({ arithmetic }) => arithmetic !== 'cheap')
  expect(real.reduce((sum, { count }) => sum + count, 0)).toBe(61)
  const controls = batches.filter(({ control }) => control !== undefined)
  expect(new Set(controls.map(({ control }) => control)).size).toBe(3)
})
