import { cpus } from 'node:os'
import type { KmsClient, SealedEnvelope } from '@tkms/kms-client'
import { createClientFloor, createFloor } from './floor.ts'
import { closedLoop, type Load, rateOf } from './load.ts'
import { openLoopback, TRANSPORTS, type TransportName } from './loopback.ts'
import { type Part, type PartResult, type Plot, type Row, rowOf } from './report.ts'
import { createSampler, percentile } from './statistics.ts'

const THRESHOLD = 3
const LOADS = [
  { concurrency: 1, requests: 300 },
  { concurrency: 8, requests: 600 },
  { concurrency: 64, requests: 1_000 },
]
const BATCHED_ITEMS = 2_048
/** Connections, compiled code, and what the client remembers of each node. */
const WARM_UP_REQUESTS = 100

/** Processor time, in milliseconds, that one decryption cannot do without: t answers, and the client's own operations. */
export interface DecryptionFloor {
  sample(): void
  processorMs(): number
}

export function createDecryptionFloor(): DecryptionFloor {
  const answer = createFloor()
  const node = createSampler(20, () => answer(1))
  const client = createSampler(20, createClientFloor(THRESHOLD))
  return {
    sample() {
      node.sample()
      client.sample()
    },
    processorMs: () => (THRESHOLD * node.median() + client.median()) / 1000,
  }
}

interface Measured {
  readonly transport: TransportName
  readonly concurrency: number
  readonly load: Load
}

/** Five real node processes on loopback and a client here, all on the cores of this machine: what a decryption takes, and how many there are a second. */
export const endToEnd: Part = {
  name: 'end-to-end',
  title: 'Decryption end to end: 3 of 5 processes and the client, on the cores of one machine',
  async run({ quick, log }) {
    const loopback = await openLoopback()
    const floor = createDecryptionFloor()
    const measured: Measured[] = []
    let batchedPerSecond = 0
    try {
      for (const transport of TRANSPORTS) {
        const { kms, sealed } = await loopback.connect(transport)
        try {
          await closedLoop(() => kms.decrypt(sealed), { concurrency: 4, requests: WARM_UP_REQUESTS })
          for (const { concurrency, requests } of LOADS) {
            log(`${transport}, ${concurrency} at once ...`)
            floor.sample()
            const load = await closedLoop(() => kms.decrypt(sealed), {
              concurrency,
              requests: quick ? Math.max(50, requests / 10) : requests,
            })
            floor.sample()
            if (load.failures[0] !== undefined) throw new Error(`a decryption failed: ${load.failures[0]}`)
            measured.push({ transport, concurrency, load })
          }
          if (transport === 'libp2p') batchedPerSecond = await decryptBatched(kms, sealed, quick ? 256 : BATCHED_ITEMS)
        } finally {
          await kms.close()
        }
      }
    } finally {
      await loopback.stop()
    }
    return report(measured, { batchedPerSecond, processorMs: floor.processorMs() })
  },
}

/** Envelopes per second by `decryptMany`, which puts those that are there together into one request. */
async function decryptBatched(kms: KmsClient, sealed: SealedEnvelope, items: number): Promise<number> {
  const startMs = performance.now()
  const envelopes = Array.from({ length: items }, () => sealed)
  for await (const outcome of kms.decryptMany(envelopes, { concurrency: 256 })) if (!outcome.ok) throw outcome.error
  return (items * 1000) / (performance.now() - startMs)
}

function report(
  measured: readonly Measured[],
  { batchedPerSecond, processorMs }: { readonly batchedPerSecond: number; readonly processorMs: number },
): PartResult {
  const cores = cpus().length
  const mostPerSecond = (cores * 1000) / processorMs
  const rows = measured.flatMap(({ transport, concurrency, load }): Row[] => {
    const name = `${transport}, ${concurrency} at once`
    // What is under way together has all cores together.
    const floor = (concurrency * processorMs) / cores
    return [
      ...([0.5, 0.95, 0.99] as const).flatMap((p) =>
        rowOf({ name: `${name}, p${p * 100}`, value: percentile(load.latenciesMs, p), unit: 'ms', floor }),
      ),
      ...rowOf({ name: `${name}, throughput`, value: rateOf(load), unit: '/s', floor: mostPerSecond }),
    ]
  })
  const one = measured.find(({ transport, concurrency }) => transport === 'libp2p' && concurrency === 1)
  const eight = measured.find(({ transport, concurrency }) => transport === 'libp2p' && concurrency === 8)
  return {
    rows: [...rows, ...rowOf({ name: 'libp2p, decryptMany, 256 at once', value: batchedPerSecond, unit: 'items/s' })],
    plots: [throughputPlot(measured)],
    details: {
      e2e: {
        p50_ms: one && round(percentile(one.load.latenciesMs, 0.5)),
        p99_ms: one && round(percentile(one.load.latenciesMs, 0.99)),
        per_s: eight && round(rateOf(eight.load)),
        floor_processor_ms: round(processorMs),
      },
    },
  }
}

const throughputPlot = (measured: readonly Measured[]): Plot => ({
  file: 'end-to-end',
  title: 'Decryptions per second, end to end',
  x: { label: 'requests at once', scale: 'log' },
  y: { label: 'decryptions per second' },
  series: TRANSPORTS.map((name) => ({
    name,
    points: measured
      .filter(({ transport }) => transport === name)
      .map(({ concurrency, load }) => [concurrency, rateOf(load)] as const),
  })),
})

const round = (value: number): number => Math.round(value * 100) / 100
