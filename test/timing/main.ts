import { parseArgs } from 'node:util'
import { loadNativeCurve } from '@tkms/curve-native'
import { createTrials, measure, type Trial } from './trials.ts'
import { alwaysLeaks, type Batch, CONFIRMATIONS, leaks, testBatch, type WelchResult } from './welch.ts'

const BATCHES = 5

const USAGE = `npm run --silent test:timing -- [--seconds N] [--json]

Whether the time of a node's secret multiplications on libsecp256k1 tells anything about what it multiplies: a share fixed against random
ones, K fixed against random ones, a nonce fixed against random ones, with Welch's t-test in ${BATCHES} batches, in N seconds (default: 40).
A leak is claimed when ${CONFIRMATIONS} batches find one in the same direction. The same test must find the leak of a multiplication for public data in all of them.
Also tells, without counting it, whether a share that is new every time takes longer than one that the processor has met.
Exits with 1 when it finds a leak, and with 2 when it cannot tell: the control was not found, or there were too few timings.`

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '40' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const print = (line: string): void => void process.stderr.write(`${line}\n`)
const rounded = (value: number): number => Math.round(100 * value) / 100

interface Findings {
  readonly name: Trial['name']
  readonly batches: Batch[]
  timings: number
}

/** All trials take turns, so that each has its batches all over the run. */
function run(trials: readonly Trial[], seconds: number): Findings[] {
  const sliceMs = (seconds * 1000) / (BATCHES * trials.length + 1)
  const findings = trials.map(({ name }): Findings => ({ name, batches: [], timings: 0 }))
  for (const trial of trials) measure(trial, sliceMs / trials.length)
  for (let round = 0; round < BATCHES; round++)
    for (const [at, trial] of trials.entries()) {
      const timings = measure(trial, sliceMs)
      const batch = testBatch(timings)
      const finding = findings[at]
      if (finding === undefined) continue
      finding.timings += timings.ns.length
      if (batch !== undefined) finding.batches.push(batch)
    }
  return findings
}

/** The batch in the middle by t: odd ones do not move it. */
function middle({ batches }: Findings): WelchResult | undefined {
  const results = batches.map(({ strongest }) => strongest).toSorted((left, right) => left.t - right.t)
  return results[Math.floor(results.length / 2)]
}

function describe(finding: Findings): string {
  const all = finding.batches.map(({ strongest: { t } }) => t.toFixed(1)).join(', ')
  const { differenceNs = NaN, standardErrorNs = NaN } = middle(finding) ?? {}
  const difference = `${differenceNs.toFixed(0)} +- ${standardErrorNs.toFixed(0)} ns in the middle batch`
  return `${finding.name.padEnd(8)} t ${all}; ${difference}, ${finding.timings} timings`
}

/** @returns the exit code */
function judge(findings: readonly Findings[]): number {
  const [control, unseen] = (['control', 'unseen'] as const).map((wanted) =>
    findings.filter(({ name }) => name === wanted).flatMap(({ batches }) => batches),
  )
  const judged = findings.filter(({ name }) => name !== 'control' && name !== 'unseen')
  const leaking = judged.filter(({ batches }) => leaks(batches))
  const complete = findings.every(({ batches }) => batches.length === BATCHES)
  const caught = alwaysLeaks(control ?? [])
  for (const finding of findings) print(describe(finding))
  for (const { name } of leaking) print(`LEAK: the time of a multiplication tells about the ${name}`)
  if (leaks(unseen ?? [])) print('not counted: a share that is new takes another time than one the processor has met')
  if (!caught) print('cannot tell: the multiplication for public data was not found to leak')
  if (!complete) print('cannot tell: too few timings')
  if (values.json) {
    const t = Object.fromEntries(findings.map((finding) => [`${finding.name}_t`, rounded(middle(finding)?.t ?? NaN)]))
    console.log(JSON.stringify({ ...t, batches: BATCHES, control_caught: caught, leaks: leaking.length }))
  }
  if (leaking.length > 0) return 1
  return caught && complete ? 0 : 2
}

function main(): number {
  const seconds = Number(values.seconds)
  if (!Number.isSafeInteger(seconds) || seconds < 1) throw new Error('--seconds takes a whole number above 0')
  const curve = loadNativeCurve()
  if (curve === undefined) {
    print('skipped: there is no libsecp256k1 binary for this platform')
    if (values.json) console.log(JSON.stringify({ skipped: 'no libsecp256k1 binary' }))
    return 0
  }
  return judge(run(createTrials(curve), seconds))
}

if (values.help) print(USAGE)
else process.exitCode = main()
