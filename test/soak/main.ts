import { parseArgs } from 'node:util'
import { soak, type SoakReport } from './soak.ts'
import { type Growth, grows, growthsOf, moreOf } from './verdict.ts'

const USAGE = `npm run --silent test:soak -- [--minutes N] [--leak BYTES] [--json]

Three real nodes on loopback (t = 2) and a client process over HTTP and one over libp2p, which open envelopes one by one and in batches, are
refused, cancel, connect and leave: for a fifth of N minutes (default: 2, at least 2; at most for ten of them) as much as they can, then at half that rate.
Now and then everything rests: then each process collects its garbage and tells what it holds. For each of them the slopes of its heap and of
its resident memory are fitted, with 95 % confidence intervals, and its open files, timers, sockets, streams and listeners are counted.
Exits with 1 when a call fails, when the lower end of a slope's interval is above 1 MB/h (in less than half an hour: above what the rest
of the warm-up explains, which is printed), or when files, sockets, streams or listeners stay; and with 2 when it cannot tell: a leak
of a few hundred bytes and a listener per request, planted in a node at the end, was not found.
--leak: plants one from the start, to see the verdict.`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    leak: { type: 'string', default: '0' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const MINUTE_MS = 60_000
const MAX_WARM_UP_MS = 10 * MINUTE_MS
/** Of a short span there are enough samples with the first, of a long one with the last. */
const MIN_INTERVAL_MS = 4_500
const MAX_INTERVAL_MS = 30_000
const SAMPLES = 100

const print = (line: string): void => void process.stderr.write(`${line}\n`)
const rounded = (value: number): number => Math.round(100 * value) / 100

function describe({ process: name, what, slope, limit }: Growth): string {
  const interval = `[${slope.lowPerHour.toFixed(2)}, ${slope.highPerHour.toFixed(2)}]`
  const judged = limit === undefined ? '' : `, at most ${limit.toFixed(2)}`
  return `${name.padEnd(20)} ${what.padEnd(8)} ${slope.perHour.toFixed(2).padStart(7)} MB/h ${interval}${judged}`
}

/** @returns the exit code */
function judge(report: SoakReport): number {
  const growths = report.courses.flatMap((course) => growthsOf(course))
  const growing = growths.filter(grows)
  const more = report.courses.flatMap(moreOf)
  const leaked = growthsOf(report.control, report.courses[0]).filter(
    ({ limit, what }) => limit !== undefined && what !== 'resident',
  )
  const leftBehind = moreOf(report.control)
  const caught = leaked.some(grows) && leftBehind.some((line) => line.endsWith(' listeners'))
  const memory = (what: Growth['what']): boolean => !growing.some((growth) => growth.what === what)
  const checks: readonly (readonly [string, boolean])[] = [
    [
      `${report.calls} calls, of ${rounded(report.medianMs)} ms in the middle`,
      report.calls > 0 && report.failures.length === 0,
    ],
    ['the heap stays as it is', memory('objects') && memory('heap')],
    ['resident memory stays as it is', memory('resident')],
    ['no file, socket, timer, stream or listener stays', more.length === 0 && report.warnings.length === 0],
    ['a planted leak is found', caught],
  ]
  for (const growth of growths) print(describe(growth))
  for (const growth of leaked) print(`planted: ${describe(growth)}`)
  for (const line of leftBehind) print(`planted: ${line}`)
  for (const line of [...more, ...report.warnings]) print(line)
  for (const failure of report.failures) print(`failed: ${failure}`)
  const rate = `${rounded(report.pacedPerSecond)} calls/s of ${rounded(report.saturationPerSecond)} at saturation`
  print(`${rate}; a node's audit log grows by ${Math.round(report.diskBytesPerCall)} bytes on disk per call`)
  for (const [what, well] of checks) print(`${well ? 'well' : 'FAILED'}: ${what}`)
  const failed = checks.filter(([, well]) => !well).length
  if (values.json) console.log(JSON.stringify(summary(report, { growths, caught, more })))
  else console.log(`${checks.length - failed} passed, ${failed} failed`)
  if (failed === 0) return 0
  return failed === 1 && !caught ? 2 : 1
}

function summary(
  report: SoakReport,
  found: { readonly growths: readonly Growth[]; readonly caught: boolean; readonly more: readonly string[] },
): object {
  return {
    calls: report.calls,
    failed: report.failures.length,
    per_second: rounded(report.pacedPerSecond),
    saturation_per_second: rounded(report.saturationPerSecond),
    slopes_mb_per_hour: found.growths.map(({ process: name, what, slope, limit }) => ({
      process: name,
      what,
      slope: rounded(slope.perHour),
      interval: [rounded(slope.lowPerHour), rounded(slope.highPerHour)],
      ...(limit === undefined ? {} : { limit: rounded(limit) }),
    })),
    left_behind: found.more,
    planted_leak_found: found.caught,
  }
}

async function main(): Promise<number> {
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const [minutes = NaN, leakBytes = NaN] = [values.minutes, values.leak].map(Number)
  if (!(minutes >= 2) || !Number.isSafeInteger(leakBytes) || leakBytes < 0) {
    print(USAGE)
    return 2
  }
  const warmUpMs = Math.min(MAX_WARM_UP_MS, (minutes * MINUTE_MS) / 5)
  const measuredMs = minutes * MINUTE_MS - warmUpMs
  const intervalMs = Math.min(MAX_INTERVAL_MS, Math.max(MIN_INTERVAL_MS, measuredMs / SAMPLES))
  return judge(await soak({ warmUpMs, measuredMs, intervalMs, leakBytes, log: print }))
}

process.exitCode = await main()
