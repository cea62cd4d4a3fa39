import { benchClient, type ClientCost } from './client-combine.ts'
import { type Part, type Plot, type Row, rowOf } from './report.ts'

const LARGEST = 22

export const client: Part = {
  name: 'client',
  title: 'A client with t partials of 3t - 2 nodes: combined, checked, opened',
  run({ quick }) {
    const all = Array.from({ length: LARGEST - 1 }, (_, at) => at + 2)
    const costs = benchClient(quick ? { rounds: 3, thresholds: [2, 3, LARGEST] } : { rounds: 9, thresholds: all })
    return { rows: costs.flatMap(clientRows), plots: [plotOf(costs)], details: { client: costs } }
  },
}

export function clientRows(cost: ClientCost): Row[] {
  const name = `t = ${cost.t}${cost.backend === 'noble' ? ', in JavaScript' : ''}`
  return [
    ...rowOf({ name, value: cost.open_us, unit: 'us', floor: cost.open_floor_us, ratio: cost.open_ratio }),
    ...rowOf({
      name: `${name}, all proofs verified`,
      value: cost.proven_us,
      unit: 'us',
      floor: cost.proven_floor_us,
      ratio: cost.proven_ratio,
    }),
  ]
}

function plotOf(costs: readonly ClientCost[]): Plot {
  const series = (name: string, backend: ClientCost['backend'], value: (cost: ClientCost) => number) => ({
    name,
    points: costs.filter((cost) => cost.backend === backend).map((cost) => [cost.t, value(cost) / 1000] as const),
  })
  const all = [
    series('libsecp256k1', 'native', (cost) => cost.open_us),
    series('libsecp256k1, proofs verified', 'native', (cost) => cost.proven_us),
    series('in JavaScript', 'noble', (cost) => cost.open_us),
    series('in JavaScript, proofs verified', 'noble', (cost) => cost.proven_us),
  ]
  return {
    file: 'client',
    title: 'Combining and opening at a client',
    x: { label: 'partials' },
    y: { label: 'ms', scale: 'log' },
    series: all.filter(({ points }) => points.length > 0),
  }
}
