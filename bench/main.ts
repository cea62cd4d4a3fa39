import { cpus, release, type } from 'node:os'
import { parseArgs } from 'node:util'
import { disturbance, type Machine, writtenPart } from './document.ts'
import { watchOthers } from './others.ts'
import { PARTS } from './parts.ts'
import type { PartResult } from './report.ts'
import { textTable } from './text.ts'
import { writeResult } from './written.ts'

const HELP = `npm run --silent bench [-- --json] [-- --quick] [-- --only NAME]... [-- --write]

Measures, part by part, each figure beside the least that the same work can take, in the same run:
${PARTS.map(({ name, title }) => `  ${name.padEnd(16)}${title}`).join('\n')}
Options:
  --json       the last line of stdout is one JSON object
  --quick      fewer rounds, key generation up to n = 16
  --only NAME  this part alone; may be given several times
  --write      puts the figures and plots into docs/performance.md and docs/performance/; parts that were not measured stay as they are`

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const log = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

const machine: Machine = {
  cpu: cpus()[0]?.model.trim() ?? 'unknown processor',
  cores: cpus().length,
  node: process.versions.node,
  kernel: `${type()} ${release().split('.').slice(0, 2).join('.')}`,
}

/** Objects of several parts under one name become one. */
function together(all: readonly PartResult[]): Record<string, unknown> {
  const details: Record<string, unknown> = {}
  for (const [name, value] of all.flatMap((part) => Object.entries(part.details ?? {}))) {
    const known = details[name]
    details[name] = isRecord(known) && isRecord(value) ? { ...known, ...value } : value
  }
  return details
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** @throws RangeError for a part that there is not, and for figures of a quick run that should be published */
function checkOptions(): void {
  const unknown = values.only.find((name) => !PARTS.some((part) => part.name === name))
  if (unknown !== undefined)
    throw new RangeError(`there is no part "${unknown}": ${PARTS.map(({ name }) => name).join(', ')}`)
  if (values.quick && values.write) throw new RangeError('the figures of a quick run are not for the document')
}

if (values.help) console.log(HELP)
else {
  checkOptions()
  log(`${machine.cores} x ${machine.cpu}, ${machine.kernel}, Node ${machine.node}`)
  const chosen = PARTS.filter(({ name }) => values.only.length === 0 || values.only.includes(name))
  const measured: { readonly name: string; readonly result: PartResult }[] = []
  for (const part of chosen) {
    log(`${part.title} ...`)
    const shareOfOthers = watchOthers()
    const result = await part.run({ quick: values.quick, log })
    const others = shareOfOthers()
    if (disturbance(others) !== '') log(disturbance(others))
    measured.push({ name: part.name, result })
    if (!values.json) console.log(textTable(part.title, result))
    // At once, so that a part that fails later costs nothing.
    if (values.write)
      await writeResult(
        { machine, parts: [writtenPart(part, result, others)] },
        PARTS.map(({ name }) => name),
      )
  }
  const rows = measured.flatMap(({ name, result }) => result.rows.map((row) => ({ part: name, ...row })))
  const details = together(measured.map(({ result }) => result))
  if (values.json) console.log(JSON.stringify({ machine, ...details, rows }))
}
