import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { type AnswerCost, benchAnswers } from './answers.ts'
import { benchAudit } from './audit.ts'
import { benchCeremony, type CeremonyCost } from './ceremonies.ts'
import { benchCluster } from './cluster.ts'
import { benchPrimitives, type PrimitiveCost } from './primitives.ts'

const HELP = `npm run --silent bench [-- --json] [-- --quick]

Measures the bare operations of the curve and of OpenSSL, one node's answers to 1, 16 and 256 items against the operations they need, what an audit record costs on this machine's
disk, key generation and decryption with five processes, and what key generation costs a node of 5 to 64 against the operations it needs (the engines of all nodes in one process; the largest take minutes).
  --json   the last line of stdout is one JSON object
  --quick  fewer rounds, key generation up to n = 16`

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const COMMITTEES = [
  { n: 5, t: 3 },
  { n: 7, t: 3 },
  { n: 16, t: 6 },
  { n: 32, t: 11 },
  { n: 64, t: 22 },
]

const log = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

const inUs = (us: number | null): string => (us === null ? '-' : `${us.toFixed(us < 100 ? 1 : 0)} us`)

/** Numbers with two decimals. */
const roundTimes = (cost: AnswerCost | PrimitiveCost): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(cost).map(([name, value]: [string, unknown]) => [
      name,
      typeof value === 'number' ? Math.round(value * 100) / 100 : value,
    ]),
  )

if (values.help) console.log(HELP)
else {
  log(`${cpus().length} x ${cpus()[0]?.model ?? 'unknown processor'}, Node ${process.versions.node}`)
  log('bare operations ...')
  const primitives = benchPrimitives({ rounds: values.quick ? 5 : 21 })
  log('answers in process, on libsecp256k1, on noble, and their bare operations ...')
  const answers = await benchAnswers({ rounds: values.quick ? 7 : 31 })
  log('audit records on disk ...')
  const audit = await benchAudit({ releases: values.quick ? 2_000 : 20_000 })
  log('five node processes ...')
  const cluster = await benchCluster({ ceremonies: values.quick ? 1 : 5, requests: values.quick ? 50 : 300, log })
  const sizes = COMMITTEES.filter(({ n }) => !values.quick || n <= 16)
  const ceremonies = sizes.map(({ n, t }): CeremonyCost => {
    log(`key generation n = ${n}, t = ${t} ...`)
    return benchCeremony(n, t)
  })
  const [single] = answers
  const result = {
    dkg: { ...cluster.dkg, in_process: ceremonies },
    primitives: primitives.map(roundTimes),
    partial: single && roundTimes(single),
    answers: answers.map(roundTimes),
    audit,
    e2e: cluster.e2e,
  }
  if (values.json) console.log(JSON.stringify(result))
  else {
    for (const { name, native_us: native, noble_us: noble } of primitives)
      console.log(`${name.padEnd(27)}${inUs(native)} native, ${inUs(noble)} noble`)
    for (const answer of answers) printAnswer(answer)
    console.log(`audit record, alone        ${audit.alone_us} us, p99 ${audit.alone_p99_us} us`)
    console.log(
      `  64 at once               ${audit.concurrent64_us} us each, ${audit.bytes_per_release} bytes per release`,
    )
    console.log(`key generation n=5 t=3     ${cluster.dkg.n5t3_ms} ms with five processes`)
    for (const ceremony of ceremonies) printCeremony(ceremony)
    console.log(
      `decryption 3 of 5          p50 ${cluster.e2e.p50_ms} ms, p99 ${cluster.e2e.p99_ms} ms, ${cluster.e2e.per_s}/s`,
    )
  }
}

function printAnswer({
  items,
  native_us: native,
  noble_us: noble,
  floor_us: floor,
  native_ratio: ratio,
  unrecorded_ratio: unrecorded,
}: AnswerCost): void {
  const what = items === 1 ? 'node answer' : `  of ${items}, per item`
  const without = unrecorded === null ? '' : `, ${unrecorded.toFixed(2)} x without its record`
  const times = ratio === null ? '' : `, ${ratio.toFixed(2)} x its bare operations${without}`
  console.log(`${what.padEnd(27)}${inUs(native)} native${times} (${inUs(floor)}), ${inUs(noble)} noble`)
}

function printCeremony(cost: CeremonyCost): void {
  const { n, t, cpu_ms_per_node: ms, ratio, curve_ratio: curveRatio, messages_per_node: messages } = cost
  console.log(
    `key generation n=${n} t=${t}`.padEnd(27) +
      `${ms.toFixed(0)} ms of processor per node, ${ratio.toFixed(2)} x its bare operations, ` +
      `${curveRatio.toFixed(2)} x without signatures, ${messages} messages, ${cost.kib_per_node} KiB, in process`,
  )
}
