import { openLateProxies } from './late-proxy.ts'
import { closedLoop } from './load.ts'
import { type Loopback, openLoopback, TRANSPORTS, type TransportName } from './loopback.ts'
import { type Part, type PartOptions, type Row, rowOf } from './report.ts'
import { percentile } from './statistics.ts'

const LATE_MS = 5_000
const LOADS = [
  { concurrency: 1, requests: 150 },
  { concurrency: 8, requests: 250 },
  { concurrency: 64, requests: 300 },
]
const ROUNDS = 2
/** At least so many, and so many of each caller. */
const WARM_UP = { requests: 60, rounds: 3 }
/** The first requests after a node has failed, which find it out, are counted apart; at least as many as are under way at once. */
const FIRST_REQUESTS = 10

/** A way for one node to fail while a client uses it. */
interface Fault {
  /** What the client opens: the cluster file with addresses that the fault can touch. */
  readonly file: unknown
  begin(index: number): Promise<void> | void
  end(index: number): Promise<void> | void
  close(): void
}

/** Killed, and started again afterwards. */
const dead = (loopback: Loopback): Fault => ({
  file: loopback.file,
  begin: (index) => loopback.cluster.stop(loopback.node(index), 'SIGKILL'),
  end: (index) => loopback.cluster.start(loopback.node(index)),
  close: () => undefined,
})

/** Everything it sends arrives 5 seconds late. All nodes are behind the same proxies all the time, so that nothing else differs. */
async function late({ file }: Loopback): Promise<Fault> {
  const proxies = await openLateProxies(file)
  return {
    file: proxies.file,
    begin: (index) => proxies.delay(index, LATE_MS),
    end: (index) => proxies.delay(index, 0),
    close: () => proxies.stop(),
  }
}

interface Compared {
  readonly transport: TransportName
  readonly concurrency: number
  readonly healthyMs: number[]
  /** The first requests after the fault. */
  readonly firstMs: number[]
  readonly faultyMs: number[]
  readonly failures: string[]
}

const createPart = (
  what: Pick<Part, 'name' | 'title'>,
  open: (loopback: Loopback) => Fault | Promise<Fault>,
): Part => ({
  ...what,
  async run(options) {
    const loopback = await openLoopback()
    const compared: Compared[] = []
    try {
      const fault = await open(loopback)
      try {
        for (const transport of TRANSPORTS)
          for (const load of LOADS) compared.push(await compare({ loopback, fault, transport, ...load }, options))
      } finally {
        fault.close()
      }
    } finally {
      await loopback.stop()
    }
    return { rows: compared.flatMap(rowsOf) }
  },
})

/** In every round a new client is measured first while all is well, then after the node it uses most has failed. */
async function compare(
  setting: {
    readonly loopback: Loopback
    readonly fault: Fault
    readonly transport: TransportName
    readonly concurrency: number
    readonly requests: number
  },
  { quick, log }: PartOptions,
): Promise<Compared> {
  const { loopback, fault, transport, concurrency } = setting
  log(`${transport}, ${concurrency} at once ...`)
  const requests = quick ? Math.max(20, 2 * concurrency) : setting.requests
  const result: Compared = { transport, concurrency, healthyMs: [], firstMs: [], faultyMs: [], failures: [] }
  for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
    const answers = new Map<number, number>()
    const { kms, sealed } = await loopback.connect(transport, {
      cluster: fault.file,
      onNodeAnswer: ({ index }) => answers.set(index, (answers.get(index) ?? 0) + 1),
    })
    const measure = async (into: number[], count: number): Promise<void> => {
      const load = await closedLoop(() => kms.decrypt(sealed), { concurrency, requests: count })
      into.push(...load.latenciesMs)
      result.failures.push(...load.failures)
    }
    try {
      await measure([], Math.max(WARM_UP.requests, WARM_UP.rounds * concurrency))
      answers.clear()
      await measure(result.healthyMs, requests)
      const [[victim]] = [...answers].toSorted(([, left], [, right]) => right - left) as [[number, number]]
      await fault.begin(victim)
      try {
        await measure(result.firstMs, Math.max(FIRST_REQUESTS, concurrency))
        await measure(result.faultyMs, requests)
      } finally {
        await fault.end(victim)
      }
    } finally {
      await kms.close()
    }
  }
  for (const failure of new Set(result.failures)) log(`a decryption failed: ${failure}`)
  return result
}

function rowsOf({ transport, concurrency, healthyMs, firstMs, faultyMs, failures }: Compared): Row[] {
  const name = `${transport}, ${concurrency} at once`
  const asked = healthyMs.length + firstMs.length + faultyMs.length + failures.length
  const against = (p: number): { readonly value: number; readonly floor: number } => ({
    value: percentile(faultyMs, p),
    floor: percentile(healthyMs, p),
  })
  return [
    ...rowOf({ name: `${name}, p50`, ...against(0.5), unit: 'ms' }),
    ...rowOf({ name: `${name}, p99`, ...against(0.99), unit: 'ms', bound: { atMost: 1.2 } }),
    ...rowOf({
      name: `${name}, slowest of the first after the fault`,
      value: Math.max(...firstMs),
      unit: 'ms',
      floor: Math.max(...healthyMs),
    }),
    ...rowOf({
      name: `${name}, failed of ${asked}`,
      value: failures.length,
      unit: '',
      floor: asked,
      ratio: failures.length / asked,
      bound: { atMost: 0 },
    }),
  ]
}

export const oneDead: Part = createPart(
  { name: 'one-dead', title: 'Decryption after one node was killed, against the same before (floor)' },
  dead,
)

export const oneLate: Part = createPart(
  { name: 'one-late', title: 'Decryption while one node answers 5 s late, against the same before (floor)' },
  late,
)
