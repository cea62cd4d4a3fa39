import { execFile } from 'node:child_process'
import { cpus } from 'node:os'
import { promisify } from 'node:util'
import { createDecryptionFloor } from './end-to-end.ts'
import { closedLoop, type Load, openLoop, rateOf } from './load.ts'
import { type Connected, type Loopback, openLoopback } from './loopback.ts'
import { type Part, type Plot, type Row, rowOf } from './report.ts'
import { median, percentile } from './statistics.ts'

const SHARES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
const CLOSED = { concurrency: 64, requests: 600 }
const SECONDS_PER_SHARE = 5
const MIN_REQUESTS = 100

interface Point {
  /** Of the saturation throughput. */
  readonly share: number
  readonly load: Load
}

const decrypting = ({ kms, sealed }: Connected): (() => Promise<Uint8Array>) => {
  return () => kms.decrypt(sealed)
}

async function withClient<T>(loopback: Loopback, use: (ask: () => Promise<unknown>) => Promise<T>): Promise<T> {
  const connected = await loopback.connect('libp2p')
  const ask = decrypting(connected)
  try {
    await closedLoop(ask, { concurrency: 8, requests: 100 })
    return await use(ask)
  } finally {
    await connected.kms.close()
  }
}

function failOnFailure({ failures: [failure] }: Load): void {
  if (failure !== undefined) throw new Error(`a decryption failed: ${failure}`)
}

/** Requests that come at random, at shares of what the cluster can do at most: how long they take then. */
export const saturation: Part = {
  name: 'saturation',
  title: 'Decryption under load: requests that come at random (libp2p)',
  async run({ quick, log }) {
    const loopback = await openLoopback()
    try {
      return await withClient(loopback, async (ask) => {
        const saturated = async (): Promise<number> => {
          const load = await closedLoop(ask, { ...CLOSED, requests: quick ? 128 : CLOSED.requests })
          failOnFailure(load)
          return rateOf(load)
        }
        const most = await saturated()
        log(`saturated at ${most.toFixed(0)} a second`)
        const points: Point[] = []
        for (const share of SHARES) {
          log(`${share * 100} % of it ...`)
          const perSecond = share * most
          const requests = quick ? 30 : Math.max(MIN_REQUESTS, Math.round(perSecond * SECONDS_PER_SHARE))
          const load = await openLoop(ask, { perSecond, requests })
          failOnFailure(load)
          points.push({ share, load })
        }
        return { rows: loadRows(points, most), plots: [latencyPlot(points)] }
      })
    } finally {
      await loopback.stop()
    }
  },
}

function loadRows(points: readonly Point[], most: number): Row[] {
  const [first] = points
  if (first === undefined) throw new RangeError('there is a point')
  const least = (p: number): number => percentile(first.load.latenciesMs, p)
  return [
    ...rowOf({ name: 'most a second, 64 at once', value: most, unit: '/s' }),
    ...points.flatMap(({ share, load }) =>
      [0.5, 0.99].flatMap((p) =>
        rowOf({
          name: `at ${share * 100} % of it, p${p * 100}`,
          value: percentile(load.latenciesMs, p),
          unit: 'ms',
          floor: least(p),
        }),
      ),
    ),
  ]
}

const latencyPlot = (points: readonly Point[]): Plot => ({
  file: 'saturation',
  title: 'Time of a decryption under load',
  x: { label: 'requests a second, % of the most there can be' },
  y: { label: 'ms', scale: 'log' },
  series: [0.5, 0.95, 0.99].map((p) => ({
    name: `p${p * 100}`,
    points: points.map(({ share, load }) => [share * 100, percentile(load.latenciesMs, p)] as const),
  })),
})

const execute = promisify(execFile)

/** Gives all processes, and all their threads, so many cores. */
async function pin(pids: readonly number[], cores: number): Promise<void> {
  const list = Array.from({ length: cores }, (_, at) => at).join(',')
  for (const pid of pids) await execute('taskset', ['-a', '-c', '-p', list, `${pid}`])
}

/** The same cluster and client on one core, on two and so on: doubled up to all there are. */
export const cores: Part = {
  name: 'cores',
  title: 'Decryptions a second, by the number of cores that five nodes and the client share (libp2p, 64 at once)',
  async run({ quick, log }) {
    const counts = Array.from({ length: 1 + Math.floor(Math.log2(cpus().length)) }, (_, at) => 2 ** at)
    const rates = new Map(counts.map((count) => [count, [] as number[]]))
    const floor = createDecryptionFloor()
    const loopback = await openLoopback()
    const pids = [process.pid, ...loopback.cluster.nodes.flatMap((node) => node.process?.pid ?? [])]
    try {
      await withClient(loopback, async (ask) => {
        for (let round = 0; round < (quick ? 1 : 3); round++)
          for (const count of counts) {
            log(`${count} ${count === 1 ? 'core' : 'cores'} ...`)
            await pin(pids, count)
            floor.sample()
            const load = await closedLoop(ask, { ...CLOSED, requests: quick ? 128 : 400 })
            failOnFailure(load)
            rates.get(count)?.push(rateOf(load))
          }
      })
    } finally {
      await pin([process.pid], cpus().length)
      await loopback.stop()
    }
    const most = 1000 / floor.processorMs()
    const points = [...rates].map(([count, measured]) => [count, median(measured)] as const)
    const [, one] = points[0] ?? [1, 0]
    return {
      rows: points.flatMap(([count, rate]) => [
        ...rowOf({ name: coresName(count), value: rate, unit: '/s', floor: count * most }),
        ...(count === 1
          ? []
          : rowOf({ name: `${coresName(count)}, against one core`, value: rate, unit: '/s', floor: one })),
      ]),
      plots: [
        {
          file: 'cores',
          title: 'Decryptions per second by cores',
          x: { label: 'cores' },
          y: { label: 'decryptions per second' },
          series: [{ name: 'measured', points }],
        },
      ],
    }
  },
}

const coresName = (count: number): string => (count === 1 ? '1 core' : `${count} cores`)
