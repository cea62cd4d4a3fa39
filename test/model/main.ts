import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { addTallies, type Batch, NO_RUNS, type Tally } from './batch.ts'
import type { Arithmetic } from './identities.ts'
import { CONTROLS, planBatches } from './plan.ts'
import { runScenario } from './run.ts'
import { type Control, drawScenario } from './scenario.ts'
import { PROTOCOL_RULES } from '../../packages/dkg/src/ceremony/engine-types.ts'

const USAGE = `npm run --silent sim -- [--runs N] [--seed S] [--real R] [--json]
npm run --silent sim -- --runs 1 --seed S [--arithmetic cheap|native|noble] [--control NAME] --trace

Random adversarial schedules over the ceremony engine. --real: how many of the runs use the real curve and
signatures (default: one in twenty). --trace prints the schedule of one run. Exits with 1 when a run violates
what the protocol promises, or when a rule that is switched off is not missed.`

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    real: { type: 'string' },
    json: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    arithmetic: { type: 'string', default: 'cheap' },
    control: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

const print = (line: string): void => void process.stderr.write(`${line}\n`)

function wholeNumber(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} takes a whole number`)
  return value
}

function trace(seed: number): void {
  const arithmetic = values.arithmetic as Arithmetic
  const control = CONTROLS[values.control as keyof typeof CONTROLS] as Control | undefined
  const scenario = drawScenario(seed, arithmetic, control)
  console.dir(scenario, { depth: 6 })
  const rules = control && { ...PROTOCOL_RULES, [control]: false }
  const report = runScenario(scenario, { ...(rules && { rules }), trace: (line) => console.log(line) })
  console.dir(report, { depth: 4 })
  if (report.violations.length > 0) process.exitCode = 1
}

/** Hands out batches to one worker per core until none is left. */
async function runAll(batches: readonly Batch[], onTally: (batch: Batch, tally: Tally) => void): Promise<void> {
  const queue = [...batches]
  const core = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./worker.ts', import.meta.url))
      let current: Batch | undefined
      const next = (): void => {
        current = queue.shift()
        if (current !== undefined) worker.postMessage(current)
        else void worker.terminate().then(() => resolve())
      }
      worker.on('message', (tally: Tally) => {
        if (current !== undefined) onTally(current, tally)
        next()
      })
      worker.on('error', reject)
      next()
    })
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), queue.length) }, core))
}

async function main(): Promise<void> {
  if (values.help) return print(USAGE)
  const [runs, seed] = [wholeNumber('runs', values.runs), wholeNumber('seed', values.seed)]
  if (values.trace) return trace(seed)
  const real = values.real === undefined ? Math.floor(runs / 20) : Math.min(runs, wholeNumber('real', values.real))
  const batches = planBatches({ runs, seed, real, controls: Math.max(100, Math.ceil(runs / 50)) })
  const startMs = performance.now()
  let total = NO_RUNS
  const found = new Map<Control, number>()
  let toldMs = startMs
  await runAll(batches, ({ control }, tally) => {
    if (control === undefined) {
      total = addTallies(total, tally)
      for (const finding of tally.findings) tellFinding(finding)
    } else found.set(control, (found.get(control) ?? 0) + tally.conflicts)
    if (performance.now() - toldMs < 5_000) return
    toldMs = performance.now()
    print(`${total.runs} of ${runs} runs, ${Math.round((toldMs - startMs) / 1000)} s`)
  })
  report(runs, total, found, startMs)
}

function tellFinding({ seed, arithmetic, kind, what }: Tally['findings'][number]): void {
  print(`${kind}: ${what}`)
  print(`  npm run --silent sim -- --runs 1 --seed ${seed} --arithmetic ${arithmetic} --trace`)
}

function report(runs: number, total: Tally, found: ReadonlyMap<Control, number>, startMs: number): void {
  const { conflicts, underheld, framed, stuck, maxViews } = total
  const controls = Object.fromEntries(Object.entries(CONTROLS).map(([name, rule]) => [name, found.get(rule) ?? 0]))
  const seconds = (performance.now() - startMs) / 1000
  const { user, system } = process.cpuUsage()
  print(
    `${total.runs} runs and the controls in ${seconds.toFixed(1)} s, ${((user + system) / 1e6).toFixed(1)} s of CPU`,
  )
  for (const [name, count] of Object.entries(controls))
    if (count === 0) print(`control ${name} found no conflict: the test cannot see what this rule is for`)
  const violations = conflicts + underheld + framed + stuck
  if (violations > 0 || total.runs !== runs || Object.values(controls).includes(0)) process.exitCode = 1
  const summary = { runs: total.runs, conflicts, underheld, framed, stuck, max_views: maxViews, controls }
  if (values.json) console.log(JSON.stringify(summary))
  else
    console.log(`${total.runs} runs, ${violations} violations, at most ${maxViews} views, ${JSON.stringify(controls)}`)
}

await main()
