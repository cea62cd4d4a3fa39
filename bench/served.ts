import { join } from 'node:path'
import type { AnsweringMessage } from './answering-process.ts'
import type { TransportName } from './asked-node.ts'
import type { AskingMessage } from './asking-process.ts'
import type { LoadCost } from './prepared-load.ts'
import { canPin, type Helper, onCore, processorMs, startHelper } from './helper-process.ts'
import { withOneNode } from './one-node.ts'
import { median } from './statistics.ts'

/** Middle values of the rounds. */
interface Measured extends LoadCost {
  /** Of all threads of the process that answers, per item; null where there is no /proc. */
  readonly processor_us: number | null
}

/** Answers of one kind, asked for from another process. */
export interface ServedCost extends Measured {
  readonly transport: TransportName
  /** Items of a request. */
  readonly items: number
  /** Requests asked at once. */
  readonly in_flight: number
  /** Its throughput to that in process of the same round. */
  readonly in_process_ratio: number
  /** What in process takes of the processor, to what the node does: the same without what else runs on this machine. */
  readonly processor_ratio: number | null
}

/** The same answers without a network: the node's serving path with its ledger on disk, in one process. */
export interface InProcessCost extends Measured {
  readonly items: number
  readonly in_flight: number
}

export interface ServedResult {
  /** Whether node (and what answers in process) and load generator each had a core of their own, and none else. */
  readonly pinned: boolean
  readonly in_process: readonly InProcessCost[]
  readonly transports: readonly ServedCost[]
}

export interface ServedOptions {
  readonly rounds: number
  /** Requests of a run by their items; at least as many as are in flight. */
  readonly requests: Readonly<Record<number, { readonly alone: number; readonly concurrent: number }>>
  readonly log: (line: string) => void
}

export const SERVED_REQUESTS: ServedOptions['requests'] = {
  1: { alone: 300, concurrent: 1200 },
  16: { alone: 40, concurrent: 192 },
  256: { alone: 5, concurrent: 64 },
}

const NODE_CORE = 0
const GENERATOR_CORE = 1
const CONCURRENT = 64
const WARM_UP_REQUESTS = 256
const TRANSPORTS: readonly TransportName[] = ['libp2p', 'http']

/**
 * A real node process, with its policy, its audit log on disk and TLS, asked by another process that has made its requests before. What
 * answers in process takes its turn between them, so that drift hits all.
 */
export async function benchServed(options: ServedOptions): Promise<ServedResult> {
  const pinned = canPin()
  const core = (number: number): number | undefined => (pinned ? number : undefined)
  return withOneNode({ launcher: onCore(core(NODE_CORE)) }, async ({ node, pid, keyName, cluster, directory }) => {
    const asking = startHelper(join(import.meta.dirname, 'asking-process.ts'), core(GENERATOR_CORE))
    const answering = startHelper(join(import.meta.dirname, 'answering-process.ts'), core(NODE_CORE))
    try {
      await tell(answering, { kind: 'open', directory })
      await tell(asking, { kind: 'open', asked: { cluster, name: node.name, keyName } })
      const helpers: Helpers = { answering, asking, nodePid: pid }
      // Connections are opened and code is compiled before anything counts.
      await measureRound(helpers, { items: 1, inFlight: CONCURRENT, requests: WARM_UP_REQUESTS })
      const inProcess: InProcessCost[] = []
      const transports: ServedCost[] = []
      for (const [text, counts] of Object.entries(options.requests))
        for (const inFlight of [1, CONCURRENT]) {
          const items = Number(text)
          const requests = inFlight === 1 ? counts.alone : counts.concurrent
          options.log(`  ${items} items, ${inFlight} at once ...`)
          const measured = await measure(helpers, { rounds: options.rounds, items, inFlight, requests })
          const what = { items, in_flight: inFlight }
          inProcess.push({ ...what, ...middle(measured.map(({ alone }) => alone)) })
          for (const transport of TRANSPORTS) {
            const costs = measured.map(({ served }) => served[transport])
            const ratio = (of: (round: Round) => number): number => rounded(median(measured.map(of)))
            const times = measured.every(({ alone, served }) => isTimed(alone) && isTimed(served[transport]))
            transports.push({
              transport,
              ...what,
              ...middle(costs),
              in_process_ratio: ratio(({ alone, served }) => served[transport].items_per_s / alone.items_per_s),
              processor_ratio: times
                ? ratio(({ alone, served }) => (alone.processor_us ?? 0) / (served[transport].processor_us ?? 0))
                : null,
            })
          }
        }
      return { pinned, in_process: inProcess, transports }
    } finally {
      await Promise.all([asking.stop(), answering.stop()])
    }
  })
}

const tell = (helper: Helper, message: AskingMessage | AnsweringMessage): Promise<unknown> => helper.ask(message)

interface Helpers {
  readonly answering: Helper
  readonly asking: Helper
  /** Who is asked. */
  readonly nodePid: number
}

interface Round {
  readonly alone: Measured
  readonly served: Readonly<Record<TransportName, Measured>>
}

interface Run {
  readonly items: number
  readonly inFlight: number
  readonly requests: number
}

async function measure(helpers: Helpers, run: Run & { readonly rounds: number }): Promise<readonly Round[]> {
  await measureRound(helpers, { ...run, requests: Math.ceil(run.requests / 8) })
  const measured: Round[] = []
  for (let n = 0; n < run.rounds; n++) measured.push(await measureRound(helpers, run))
  return measured
}

async function measureRound({ answering, asking, nodePid }: Helpers, run: Run): Promise<Round> {
  const { items, inFlight, requests } = run
  const once = async (helper: Helper, pid: number, message: AskingMessage | AnsweringMessage): Promise<Measured> => {
    await tell(helper, { kind: 'prepare', items, requests })
    const before = await processorMs(pid)
    const cost = (await tell(helper, message)) as LoadCost
    const after = await processorMs(pid)
    const us = before === undefined || after === undefined ? null : ((after - before) * 1000) / (items * requests)
    return { ...cost, processor_us: us }
  }
  const message = { kind: 'run', items, inFlight } as const
  return {
    alone: await once(answering, answering.pid, message),
    served: {
      libp2p: await once(asking, nodePid, { ...message, transport: 'libp2p' }),
      http: await once(asking, nodePid, { ...message, transport: 'http' }),
    },
  }
}

/** Some runs are shorter than the clock of /proc is fine. */
const isTimed = ({ processor_us: us }: Measured): boolean => us !== null && us > 0

const rounded = (value: number): number => Math.round(value * 1000) / 1000

function middle(costs: readonly Measured[]): Measured {
  const of = (read: (cost: Measured) => number): number => rounded(median(costs.map(read)))
  return {
    items_per_s: of((cost) => cost.items_per_s),
    p50_ms: of((cost) => cost.p50_ms),
    p99_ms: of((cost) => cost.p99_ms),
    processor_us: costs.every(isTimed) ? of((cost) => cost.processor_us ?? 0) : null,
  }
}
