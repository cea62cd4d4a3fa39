import { parseArgs } from 'node:util'
import { fuzz, openTargets } from './fuzz.ts'

const USAGE = `npm run --silent fuzz -- [--cases N] [--seed S] [--json]

Changed valid inputs for every decoder, and HTTP requests to a node's server. The same seed gives the same inputs.
Exits with 1 when something crashed, was not handled, was answered with 5xx, or memory grew.`

/** Kept after a collection at the end, compared with after a tenth of the cases. */
const MAX_GROWTH_BYTES = 64 * 1024 * 1024
const SHOWN_FINDINGS = 20

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

function wholeNumber(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} takes a whole number above 0`)
  return value
}

const print = (line: string): void => void process.stderr.write(`${line}\n`)

function heapBytes(): number {
  const { gc } = globalThis as { gc?: () => void }
  if (gc === undefined) throw new Error('run it with --expose-gc')
  gc()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

async function main(): Promise<void> {
  if (values.help) return print(USAGE)
  const [cases, seed] = [wholeNumber('cases', values.cases), wholeNumber('seed', values.seed)]
  const targets = await openTargets()
  const startMs = performance.now()
  let shown = 0
  let atFirst: number | undefined
  const tally = await fuzz(targets, {
    cases,
    seed,
    onFinding({ target, problem, input }) {
      if (shown++ < SHOWN_FINDINGS) print(`${target}: ${problem}\n  ${input}`)
    },
    onProgress(done) {
      if (done >= cases / 10) atFirst ??= heapBytes()
      if (done % 10_000 === 0 && done > 0)
        print(`${done} of ${cases} cases, ${Math.round((performance.now() - startMs) / 1000)} s`)
    },
  })
  const growth = heapBytes() - (atFirst ?? heapBytes())
  await targets.http?.stop()
  print(
    `seed ${seed}: ${cases} cases, ${tally.targets} targets, ${Math.round(growth / 1024)} KiB kept more than at first`,
  )
  if (growth > MAX_GROWTH_BYTES) print('memory grew')
  const bad = tally.crashes + tally.unhandled + tally.server_errors > 0 || growth > MAX_GROWTH_BYTES
  console.log(values.json ? JSON.stringify(tally) : `${bad ? 0 : 1} passed, ${bad ? 1 : 0} failed`)
  if (bad) process.exitCode = 1
}

await main()
