import { parseArgs } from 'node:util'
import { type AttestReport, runAttest } from './attest.ts'

const USAGE = `npm run --silent test:attest -- [--json]

Seven members of one committee as processes, which want each other's proof of what runs there. Five of them run on good machines of a test
manufacturer. The others have a wrong measurement, expired collateral, a revoked certificate, debug mode, a quote over other bytes, a quote
of another connection: they are kept out of ceremonies and serving, both sides know why, and the five go on.
Exits with 1 when one of them is let in, or is refused for another reason.`

const GOOD = 5

const { values } = parseArgs({
  options: { json: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
})

const print = (line: string): void => void process.stderr.write(`${line}\n`)

/** @returns the exit code */
function judge({ accepted, refused, wrong }: AttestReport): number {
  const checks: readonly (readonly [string, boolean])[] = [
    [`${accepted} of ${GOOD * (GOOD - 1)} pairs of good nodes proven`, accepted === GOOD * (GOOD - 1)],
    ...Object.entries(refused).map(([flaw, count]) => [`${flaw}: refused by ${count}`, count === GOOD] as const),
    [`${wrong.length} wrong`, wrong.length === 0],
  ]
  for (const problem of wrong) print(`wrong: ${problem}`)
  for (const [what, well] of checks) print(`${well ? 'well' : 'FAILED'}: ${what}`)
  const failed = checks.filter(([, well]) => !well).length
  if (values.json) console.log(JSON.stringify({ accepted, refused, wrong: wrong.length }))
  else console.log(`${checks.length - failed} passed, ${failed} failed`)
  return failed === 0 ? 0 : 1
}

if (values.help) console.log(USAGE)
else process.exitCode = judge(await runAttest(print))
