import { generateKeyPairSync } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { selectCurve } from '@tkms/curve-native'
import { createWorkerPool, type WorkerPool } from '@tkms/kms-node/serve'
import { memoryLedger } from './audit.ts'
import { type Part, rowOf } from './report.ts'
import { createServingNode, type ServingNode } from './serving-node.ts'
import { median } from './statistics.ts'

/** Requests under way. */
const AT_ONCE = 8
/** A queue gives one caller a quarter of its places. */
const LIMITS = { maxRequestsInFlight: 4 * AT_ONCE, maxRequestsQueued: 1 }
const READY_MS = 10_000
const SIZES = [
  { items: 1, requests: 160 },
  { items: 16, requests: 24 },
  { items: 256, requests: 8 },
] as const

/** Items answered per second. */
async function ratePerSecond(node: ServingNode, items: number, requests: number): Promise<number> {
  const made = Array.from({ length: requests }, () => node.request(items)).values()
  const { signal } = new AbortController()
  const lane = async (): Promise<void> => {
    for (const request of made) {
      const result = await node.pipeline.handle(request, { remote: 'bench', address: '', signal })
      if (result.kind !== 'answer') throw new Error(`the node refused: ${result.code}`)
    }
  }
  const startMs = performance.now()
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
  return (1000 * items * requests) / (performance.now() - startMs)
}

async function startedPool(size: number): Promise<WorkerPool> {
  const pool = createWorkerPool({
    size,
    onLost: (cause) => {
      throw cause instanceof Error ? cause : new Error('a thread was lost')
    },
  })
  const endMs = performance.now() + READY_MS
  while (!pool.isReady()) {
    if (performance.now() > endMs) throw new Error('no thread was ready in time')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return pool
}

/** A node that computes on 0, 1, ... threads, in turn: what it answers against what all cores could do at its own speed on one. */
export const threads: Part = {
  name: 'threads',
  title: `Items per second of one node in process, ${AT_ONCE} requests at once, by compute threads`,
  async run({ quick }) {
    const { curve } = selectCurve()
    const cores = availableParallelism()
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
    const started = Array.from({ length: cores }, (_, at) => startedPool(at + 1))
    const pools = [undefined, ...(await Promise.all(started))]
    try {
      const nodes = pools.map((workers) =>
        createServingNode(curve, { spki, ledger: memoryLedger(), workers, limits: LIMITS }),
      )
      for (const node of nodes) await ratePerSecond(node, 16, 8)
      const rows = []
      const series: { name: string; points: (readonly [number, number])[] }[] = []
      for (const { items, requests } of SIZES) {
        const rates = nodes.map((): number[] => [])
        for (let round = 0; round < (quick ? 1 : 7); round++)
          for (const [at, node] of nodes.entries()) rates[at]?.push(await ratePerSecond(node, items, requests))
        const alone = median(rates[0] ?? [])
        const name = items === 1 ? 'single items' : `batches of ${items}`
        for (const [count, measured] of rates.entries())
          rows.push(
            ...rowOf({
              name: `${name}, ${count === 0 ? 'no thread' : count === 1 ? '1 thread' : `${count} threads`}`,
              value: median(measured),
              unit: '/s',
              floor: alone * cores,
            }),
          )
        series.push({ name, points: rates.map((measured, count) => [count, median(measured)] as const) })
      }
      const plot = {
        file: 'threads',
        title: 'Items per second of one node by compute threads',
        x: { label: 'compute threads' },
        y: { label: 'items per second' },
        series,
      } as const
      return { rows, plots: [plot], details: { threads: { cores, rates: series } } }
    } finally {
      for (const pool of pools) await pool?.stop()
    }
  },
}
