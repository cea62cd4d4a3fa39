import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { canMount } from '../support/small-disk.ts'
import { type AlertsReport, watchAlerts } from './alerts.ts'
import { isInstalled } from './prometheus.ts'
import { ALERTS_FILE, readRules } from './rules.ts'

const USAGE = `npm run --silent test:alerts -- [--minutes N] [--json]

A real Prometheus (Debian's package "prometheus") watches four real nodes with the rules of ops/prometheus/alerts.yml, whose "for:" windows
are cut to seconds: first for N minutes (default: 2) in which all is well and nothing may fire, then while each rule's condition is caused,
until it fires. Exits with 1 when a rule does not fire, when one fires for nothing, or when promtool finds something wrong.
Where there is no Prometheus, or no disk can be mounted, it says so and tests nothing; with TKMS_REQUIRE_ALL that is a failure.`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const print = (line: string): void => void process.stderr.write(`${line}\n`)

/** @returns why it cannot be tested here */
function missing(): string | undefined {
  if (!isInstalled('prometheus') || !isInstalled('promtool')) return 'prometheus and promtool are not installed'
  return canMount() ? undefined : 'no disk can be mounted here'
}

/** @returns the exit code */
function judge({ rules, fired, falseAlarms, healthyRequests, problems }: AlertsReport): number {
  const silent = rules.filter((rule) => !fired.includes(rule))
  const promtool = spawnSync('promtool', ['check', 'rules', ALERTS_FILE], { encoding: 'utf8' })
  const checks: readonly (readonly [string, boolean])[] = [
    [`${fired.length} of ${rules.length} rules fired ${silent.join(', ')}`, silent.length === 0],
    [`${falseAlarms.length} false alarms ${falseAlarms.join(', ')}`, falseAlarms.length === 0],
    [`${healthyRequests} requests while all was well`, healthyRequests > 0],
    [`rules that Prometheus could judge ${problems.join(', ')}`, problems.length === 0],
    [`promtool check rules ${promtool.stderr}`, promtool.status === 0],
  ]
  for (const [what, well] of checks) print(`${well ? 'well' : 'FAILED'}: ${what}`)
  const failed = checks.filter(([, well]) => !well).length
  if (values.json)
    console.log(JSON.stringify({ rules: rules.length, fired: fired.length, false_alarms: falseAlarms.length }))
  else console.log(`${checks.length - failed} passed, ${failed} failed`)
  return failed === 0 ? 0 : 1
}

async function main(): Promise<number> {
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const minutes = Number(values.minutes)
  if (!(minutes > 0 && minutes <= 24 * 60)) {
    print(USAGE)
    return 2
  }
  const why = missing()
  if (why === undefined) return judge(await watchAlerts({ healthySeconds: 60 * minutes, log: print }))
  const required = process.env['TKMS_REQUIRE_ALL'] !== undefined
  print(`${required ? 'FAILED' : 'skipped'}: ${why}`)
  if (values.json)
    console.log(JSON.stringify({ rules: (await readRules()).length, fired: 0, false_alarms: 0, skipped: why }))
  else console.log(required ? '0 passed, 1 failed' : '0 passed, 0 failed, 1 skipped')
  return required ? 1 : 0
}

process.exitCode = await main()
