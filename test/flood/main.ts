import { parseArgs } from 'node:util'
import { type AttackName, ATTACKS } from './attacks.ts'
import { flood, type FloodReport } from './flood.ts'

const names = Object.keys(ATTACKS)
const USAGE = `npm run --silent test:flood -- [--seconds N] [--attack NAME]... [--nice N] [--json]

Three real nodes on loopback; honest clients decrypt all the time: first in peace, then while as many processes as there are attackers
only burn the processor, then while the attackers do what they can for N seconds (default: 24): ${names.join(', ')}.
--nice: how far attackers and burners stand back (default: 19).
Exits with 1 when an honest request fails, when the 99th percentile of honest requests is above 5 times the larger one of those in peace
and with the burners (what a full machine costs is not the attackers' doing; of windows of 4 s each the middle one counts, so that a
stall of the machine does not decide), or when memory is not flat: a node, its
garbage collected, holds 32 MiB more at the end of the flood than in the middle of it, or its resident memory is then 48 MiB larger, or
it ever takes 256 MiB more than in peace.`

const MAX_P99_RATIO = 5
const MIB = 1024 * 1024
const MAX_HELD_GROWTH_BYTES = 32 * MIB
const MAX_RESIDENT_GROWTH_BYTES = 48 * MIB
const MAX_PEAK_BYTES = 256 * MIB
const QUIET_SECONDS = 12

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '24' },
    attack: { type: 'string', multiple: true, default: names },
    nice: { type: 'string', default: '19' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const print = (line: string): void => void process.stderr.write(`${line}\n`)
const mib = (bytes: number): number => rounded(bytes / MIB)
const rounded = (value: number): number => Math.round(10 * value) / 10

/** @returns the exit code */
function judge(report: FloodReport): number {
  const {
    honest,
    honestFailed,
    quietP99Ms,
    burntP99Ms,
    floodP99Ms,
    heldGrowthBytes,
    residentGrowthBytes,
    peakBytes,
    acts,
  } = report
  const ratio = floodP99Ms / Math.max(quietP99Ms, burntP99Ms)
  const checks: readonly (readonly [string, boolean])[] = [
    [`${honest} honest requests, ${honestFailed} failed`, honest > 0 && honestFailed === 0],
    [
      `p99 ${rounded(floodP99Ms)} ms, in peace ${rounded(quietP99Ms)} ms, on a full machine ${rounded(burntP99Ms)} ms`,
      ratio <= MAX_P99_RATIO,
    ],
    [`objects held: ${mib(heldGrowthBytes)} MiB more than half-way`, heldGrowthBytes <= MAX_HELD_GROWTH_BYTES],
    [
      `resident memory: ${mib(residentGrowthBytes)} MiB more than half-way, at most ${mib(peakBytes)} MiB above peace`,
      residentGrowthBytes <= MAX_RESIDENT_GROWTH_BYTES && peakBytes <= MAX_PEAK_BYTES,
    ],
  ]
  for (const [name, count] of Object.entries(acts)) print(`${name}: ${count} times`)
  for (const failure of report.failures) print(`failed: ${failure}`)
  for (const [what, well] of checks) print(`${well ? 'well' : 'FAILED'}: ${what}`)
  const failed = checks.filter(([, well]) => !well).length
  if (values.json)
    console.log(
      JSON.stringify({
        honest,
        honest_failed: honestFailed,
        p99_ratio: rounded(ratio),
        p99_ratio_to_peace: rounded(floodP99Ms / quietP99Ms),
        held_growth_mb: mib(heldGrowthBytes),
        rss_growth_mb: mib(residentGrowthBytes),
      }),
    )
  else console.log(`${checks.length - failed} passed, ${failed} failed`)
  return failed === 0 ? 0 : 1
}

async function main(): Promise<number> {
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const unknown = values.attack.filter((name) => !names.includes(name))
  const numbers = [values.seconds, values.nice].map(Number)
  if (unknown.length > 0 || !numbers.every((value) => Number.isSafeInteger(value) && value >= 0)) {
    print(USAGE)
    return 2
  }
  const [floodSeconds = 0, nice = 0] = numbers
  const attacks = values.attack as AttackName[]
  return judge(await flood({ quietSeconds: QUIET_SECONDS, floodSeconds, nice, attacks, log: print }))
}

process.exitCode = await main()
