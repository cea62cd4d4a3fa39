import { type AnswerCost, benchAnswers } from './answers.ts'
import { benchAudit } from './audit.ts'
import { benchCeremony, type CeremonyCost } from './ceremonies.ts'
import { client } from './client-part.ts'
import { endToEnd } from './end-to-end.ts'
import { oneDead, oneLate } from './faults.ts'
import { benchKeyGeneration } from './key-generation.ts'
import { peers } from './peer-part.ts'
import { benchPrimitives, type PrimitiveCost } from './primitives.ts'
import { type Part, type Row, rowOf } from './report.ts'
import { cores, saturation } from './saturation.ts'
import { memory, served } from './serving-parts.ts'
import { threads } from './threads.ts'

const primitives: Part = {
  name: 'primitives',
  title: 'Bare operations of one core',
  run({ quick }) {
    const costs = benchPrimitives({ rounds: quick ? 5 : 21 })
    const rows = costs.flatMap(({ name, native_us: native, noble_us: noble }) => [
      ...rowOf({ name, value: native, unit: 'us' }),
      ...rowOf({ name: `${name}, in JavaScript`, value: noble, unit: 'us', floor: native }),
    ])
    return { rows, details: { primitives: costs.map(roundTimes) } }
  },
}

const answers: Part = {
  name: 'answers',
  title: 'One answer of a node, in process, one core, per item',
  async run({ quick }) {
    const costs = await benchAnswers({ rounds: quick ? 7 : 31 })
    const [single] = costs
    const details = { partial: single && roundTimes(single), answers: costs.map(roundTimes) }
    return { rows: costs.flatMap(answerRows), details }
  },
}

const audit: Part = {
  name: 'audit',
  title: 'The record of a release on disk',
  async run({ quick }) {
    const cost = await benchAudit({ releases: quick ? 2_000 : 20_000 })
    const rows = [
      ...rowOf({ name: 'alone, p50', value: cost.alone_us, unit: 'us' }),
      ...rowOf({ name: 'alone, p99', value: cost.alone_p99_us, unit: 'us' }),
      ...rowOf({ name: '64 at once, each', value: cost.concurrent64_us, unit: 'us', floor: cost.alone_us }),
      ...rowOf({ name: 'growth of the file per release', value: cost.bytes_per_release, unit: 'bytes' }),
    ]
    return { rows, details: { audit: cost } }
  },
}

const keyGeneration: Part = {
  name: 'key-generation',
  title: 'Key generation with five processes on loopback, t = 3',
  async run({ quick, log }) {
    const { n5t3_ms: tookMs } = await benchKeyGeneration({ ceremonies: quick ? 1 : 5, log })
    return {
      rows: rowOf({ name: 'until every node has the certificate', value: tookMs, unit: 'ms' }),
      details: { dkg: { n5t3_ms: tookMs } },
    }
  },
}

const COMMITTEES = [
  { n: 5, t: 3 },
  { n: 7, t: 3 },
  { n: 16, t: 6 },
  { n: 32, t: 11 },
  { n: 64, t: 22 },
]

const ceremonies: Part = {
  name: 'ceremonies',
  title: 'Key generation: processor time of one node, in process',
  run({ quick, log }) {
    const costs = COMMITTEES.filter(({ n }) => !quick || n <= 16).map(({ n, t }) => {
      log(`key generation n = ${n}, t = ${t} ...`)
      return benchCeremony(n, t)
    })
    const plot = {
      file: 'key-generation',
      title: 'Processor time of one node for one key generation',
      x: { label: 'nodes', scale: 'log' },
      y: { label: 'ms', scale: 'log' },
      series: [
        { name: 'measured', points: costs.map(({ n, cpu_ms_per_node: ms }) => [n, ms] as const) },
        { name: 'its bare operations', points: costs.map(({ n, floor_ms_per_node: ms }) => [n, ms] as const) },
      ],
    } as const
    return { rows: costs.flatMap(ceremonyRows), plots: [plot], details: { dkg: { in_process: costs } } }
  },
}

/** In the order of their tables. */
export const PARTS: readonly Part[] = [
  primitives,
  answers,
  threads,
  audit,
  served,
  client,
  endToEnd,
  oneDead,
  oneLate,
  saturation,
  cores,
  keyGeneration,
  ceremonies,
  memory,
  peers,
]

function answerRows(cost: AnswerCost): Row[] {
  const { items, native_us: native, noble_us: noble, floor_us: floor } = cost
  const name = items === 1 ? 'single' : `batch of ${items}`
  const bounds: Readonly<Record<number, number>> = { 1: 1.5, 256: 1.25 }
  const atMost = bounds[items]
  const bound = atMost === undefined ? {} : { bound: { atMost } }
  return [
    ...rowOf({ name, value: native, unit: 'us', floor, ratio: cost.native_ratio, ...bound }),
    ...rowOf({
      name: `${name}, without its audit record`,
      value: cost.unrecorded_ratio === null ? null : cost.unrecorded_ratio * floor,
      unit: 'us',
      floor,
      ratio: cost.unrecorded_ratio,
    }),
    ...rowOf({ name: `${name}, in JavaScript`, value: noble, unit: 'us', floor }),
  ]
}

const ceremonyRows = (cost: CeremonyCost): Row[] => [
  ...rowOf({
    name: `n = ${cost.n}, t = ${cost.t}`,
    value: cost.cpu_ms_per_node,
    unit: 'ms',
    floor: cost.floor_ms_per_node,
    ...(cost.n === 64 ? { bound: { atMost: 2 } } : {}),
  }),
  ...rowOf({
    name: `n = ${cost.n}, t = ${cost.t}, without the verification of signatures`,
    value: cost.curve_ms_per_node,
    unit: 'ms',
    floor: cost.curve_floor_ms_per_node,
  }),
]

/** Numbers with two decimals. */
const roundTimes = (cost: AnswerCost | PrimitiveCost): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(cost).map(([name, value]: [string, unknown]) => [
      name,
      typeof value === 'number' ? Math.round(value * 100) / 100 : value,
    ]),
  )
