import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as passed } from 'node:timers/promises'
import { INSPECTED } from '../support/inspected-memory.ts'
import { createTestCluster, makeKey, type TestCluster } from '../support/node-cluster.ts'
import type { Report } from './plan.ts'
import { MIN_SAMPLES } from './slope.ts'
import { type Census, type ClientProcess, observe, type Point, type Soaked, startClient } from './soaked-process.ts'

const KEY = 'ecies/soaked'
/** All requests come from one address and two requesters: what keeps one of many from too much must not throttle them. */
const ENVIRONMENT: Readonly<Record<string, string>> = {
  TKMS_LOG_LEVEL: 'warn',
  TKMS_LIMITS_REQUESTS_PER_SECOND: '1000000',
  TKMS_LIMITS_REQUEST_BURST: '1000000',
}
const POLICY = `version: 1
keys:
  '*':
    all:
      - rule: owner
      - rule: quota
        requester: [{ items: 1000000000, seconds: 60 }]
        address: [{ items: 1000000000, seconds: 3600 }]
`
/** Of each client, once: a record of 400 bytes for each fills the nodes' page caches of 2 MB. */
const FILLING_ENVELOPES = 3_000
/** Calls of each client under way at saturation. */
const UNDER_WAY = 16
const SATURATION_MS = 8_000
/** A node closes an idle HTTP connection after ten seconds: then no client's pool holds any, however many it needed just before. */
const IDLE_MS = 11_000
/** After saturation connections close and the heap shrinks: what is measured begins when that is over. */
const CHANGE_MS = 9_000
const CONTROL_MS = 18_000
const CONTROL_INTERVAL_MS = 1_500
/** Of the leak that must be found. */
const CONTROL_BYTES = 512

export interface SoakOptions {
  /** At saturation, before anything is measured. */
  readonly warmUpMs: number
  /** At half of it, in all. */
  readonly measuredMs: number
  /** From one sample to the next. */
  readonly intervalMs: number
  /** Planted in the first node before anything is measured, per HTTP request. */
  readonly leakBytes: number
  readonly log: (line: string) => void
}

/** What became of one process. */
export interface Course {
  readonly name: string
  readonly points: readonly Point[]
  readonly before: Census
  readonly after: Census
}

export interface SoakReport {
  /** Of both clients together, each of which asks all three nodes. */
  readonly saturationPerSecond: number
  readonly pacedPerSecond: number
  readonly calls: number
  readonly failures: readonly string[]
  /** Of a call at half of saturation. */
  readonly medianMs: number
  readonly courses: readonly Course[]
  /** The first node afterwards, while it leaks. */
  readonly control: Course
  /** Lines in which Node warns of too many listeners. */
  readonly warnings: readonly string[]
  /** Of a node's audit log on disk per call: it keeps a record of every release. */
  readonly diskBytesPerCall: number
}

/** Three real node processes of which two must answer, a client process over each transport, and everything they hold. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { log } = options
  const cluster = await createTestCluster({ n: 3, t: 2, launcher: () => INSPECTED, environment: ENVIRONMENT })
  const clients: ClientProcess[] = []
  const observed: Soaked[] = []
  try {
    log('three nodes make a key ...')
    for (const { directory } of cluster.nodes) await writeFile(join(directory, 'policy.yaml'), POLICY)
    await Promise.all(cluster.nodes.map((node) => node.start()))
    await makeKey(cluster.nodes, KEY)
    for (const transport of ['http', 'libp2p'] as const) clients.push(await startPlanned(cluster, transport))
    for (const { name, pid, log: read } of [...cluster.nodes, ...clients])
      observed.push(await observe(name, pid, read()))
    const [leaking] = observed
    if (leaking === undefined) throw new Error('no node')

    const paces = await warmUp(clients, options.warmUpMs, log)
    const load: Load = { clients, paces: paces.perSecond, reports: [...paces.reports], intervalMs: options.intervalMs }
    const before = await takeCensus(observed)
    await pass(load, CHANGE_MS)
    if (options.leakBytes > 0) await plantLeak(leaking, options.leakBytes)
    const diskBefore = await diskBytes(cluster)
    const reportsBefore = load.reports.length
    const startMs = performance.now()
    const rounds = await follow(load, observed, options.measuredMs - CHANGE_MS)
    const elapsedMs = performance.now() - startMs
    const after = await takeCensus(observed)
    const measured = load.reports.slice(reportsBefore)
    const calls = total(measured.map(({ done }) => done))
    const diskBytesPerCall = ((await diskBytes(cluster)) - diskBefore) / cluster.nodes.length / calls

    log(`${leaking.name} leaks ${CONTROL_BYTES} bytes and a listener per HTTP request ...`)
    if (options.leakBytes === 0) await plantLeak(leaking, CONTROL_BYTES)
    const leakingRounds = await follow({ ...load, intervalMs: CONTROL_INTERVAL_MS }, [leaking], CONTROL_MS)
    const logs = [...cluster.nodes, ...clients].map(({ log: read }) => read())
    return {
      saturationPerSecond: 2 * total(paces.perSecond),
      pacedPerSecond: (1000 * calls) / elapsedMs,
      calls,
      failures: [...new Set(load.reports.flatMap(({ failures }) => failures))].slice(0, 10),
      medianMs: medianOf(measured.map(({ medianMs }) => medianMs)),
      courses: observed.map((one, at) => courseOf(one, { rounds, before, after, at })),
      control: courseOf(leaking, { rounds: leakingRounds, before: after, after: await takeCensus([leaking]), at: 0 }),
      warnings: logs.flatMap((text) => text.split('\n').filter((line) => line.includes('MaxListenersExceeded'))),
      diskBytesPerCall,
    }
  } finally {
    for (const { inspector } of observed) inspector.close()
    await Promise.all(clients.map((client) => client.kill()))
    await cluster.dispose()
  }
}

async function startPlanned(cluster: TestCluster, transport: 'http' | 'libp2p'): Promise<ClientProcess> {
  const seed = (): string => Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('hex')
  const plan = { transport, cluster: await cluster.file(), key: KEY, seed: seed(), strangerSeed: seed() }
  return startClient(cluster.directory, plan)
}

const restAll = (clients: readonly ClientProcess[]): Promise<readonly Report[]> =>
  Promise.all(clients.map((client) => client.rest()))

async function saturate(clients: readonly ClientProcess[], forMs: number): Promise<readonly Report[]> {
  for (const client of clients) client.order({ kind: 'saturate', underWay: UNDER_WAY })
  await passed(forMs)
  return restAll(clients)
}

interface Paces {
  /** Half of what each client did at saturation. */
  readonly perSecond: readonly number[]
  readonly reports: readonly Report[]
}

/** First what fills caches, then what compiles the code; the end of it is what is measured. */
async function warmUp(clients: readonly ClientProcess[], forMs: number, log: SoakOptions['log']): Promise<Paces> {
  const endMs = performance.now() + forMs
  log('audit logs fill the page caches ...')
  for (const client of clients) client.order({ kind: 'fill', envelopes: FILLING_ENVELOPES })
  const filling = await restAll(clients)
  const leftMs = Math.max(SATURATION_MS, endMs - performance.now() - SATURATION_MS)
  log(`saturated for ${Math.round((leftMs + SATURATION_MS) / 1000)} s ...`)
  const before = await saturate(clients, leftMs)
  const saturation = await saturate(clients, SATURATION_MS)
  const perSecond = saturation.map(({ done }) => (1000 * done) / SATURATION_MS / 2)
  log(`half of that, ${perSecond.map((rate) => rate.toFixed(0)).join(' and ')} calls/s, from now on ...`)
  return { perSecond, reports: [...filling, ...before, ...saturation] }
}

interface Load {
  readonly clients: readonly ClientProcess[]
  /** Of each client, per second. */
  readonly paces: readonly number[]
  readonly reports: Report[]
  readonly intervalMs: number
}

type Round = readonly Point[]

/** Load at the pace, then rest. */
async function pass({ clients, paces, reports }: Load, forMs: number): Promise<void> {
  for (const [at, client] of clients.entries()) client.order({ kind: 'pace', perSecond: paces[at] ?? 0 })
  await passed(forMs)
  reports.push(...(await restAll(clients)))
}

/** Load, rest, measure, and again: at rest nothing is under way, so that what is there is held. @returns per round one point of each process */
async function follow(load: Load, observed: readonly Soaked[], forMs: number): Promise<readonly Round[]> {
  const endMs = performance.now() + forMs
  const rounds: Round[] = []
  while (performance.now() < endMs || rounds.length < MIN_SAMPLES) {
    await pass(load, load.intervalMs)
    rounds.push(await Promise.all(observed.map((one) => one.point())))
  }
  return rounds
}

/** Of what is there without load. */
async function takeCensus(observed: readonly Soaked[]): Promise<readonly Census[]> {
  await passed(IDLE_MS)
  return Promise.all(observed.map((one) => one.census()))
}

function courseOf(
  { name }: Soaked,
  found: {
    readonly rounds: readonly Round[]
    readonly before: readonly Census[]
    readonly after: readonly Census[]
    readonly at: number
  },
): Course {
  const { rounds, at } = found
  const [before, after] = [found.before[at], found.after[at]]
  if (before === undefined || after === undefined) throw new Error(`${name} was not counted`)
  return { name, points: rounds.flatMap((points) => points[at] ?? []), before, after }
}

/** Once only: what it plants stays. */
async function plantLeak({ inspector }: Soaked, bytes: number): Promise<void> {
  await inspector.evaluate(`(() => {
    const planted = (globalThis.planted = { kept: [], target: new EventTarget() })
    process.getBuiltinModule('node:events').setMaxListeners(0, planted.target)
    process.getBuiltinModule('node:diagnostics_channel').subscribe('http.server.request.start', () => {
      planted.kept.push(new Array(${Math.ceil(bytes / 8)}).fill(0.5))
      planted.target.addEventListener('planted', () => {})
    })
  })()`)
}

/** Of the audit logs of all nodes. */
async function diskBytes(cluster: TestCluster): Promise<number> {
  const sizes = cluster.nodes.map(async ({ directory }) => (await stat(join(directory, 'audit.db'))).size)
  return total(await Promise.all(sizes))
}

const medianOf = (values: readonly number[]): number =>
  values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? 0

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0)
