import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as passed } from 'node:timers/promises'
import {
  type Authorization,
  decodeRequest,
  encodeRequest,
  equalBytes,
  formatAuthorization,
  nobleCurve,
  parseCluster,
  Secret,
} from '@tkms/dkg'
import { createEd25519Signer, type KmsClient, type SealedEnvelope } from '@tkms/kms-client'
import { createNodeKmsClient, libp2p } from '@tkms/kms-client/node'
import { tkms } from '@tkms/proto'
import { encode } from 'it-length-prefixed'
import { createTestCluster, makeKey, type TestCluster } from '../support/node-cluster.ts'
import { type HeldMemory, heldMemory, INSPECTED } from '../support/inspected-memory.ts'
import { residentBytes } from '../support/processes.ts'
import type { AttackName, AttackPlan } from './attacks.ts'

const KEY = 'ecies/flooded'
const ATTACKER = join(import.meta.dirname, 'attacker.ts')
const PLAINTEXT = new TextEncoder().encode('opened all the same')
/** Between two requests of an honest client: it is not an attacker. */
const PAUSE_MS = 25
const WARM_UP_MS = 3_000
const WINDOW_MS = 4_000
/** Requests of one stream under way: a node reads no more at once. */
const PIPELINED = 64
const SAMPLE_MS = 500
const SETTLE_MS = 1_000
const FIRST_ACT_MS = 60_000
const SLOWEST_REQUEST_MS = 20_000

export interface FloodOptions {
  readonly quietSeconds: number
  readonly floodSeconds: number
  readonly attacks: readonly AttackName[]
  /** How far the attackers stand back for the nodes, 0 to 19. */
  readonly nice: number
  readonly log: (line: string) => void
}

export interface FloodReport {
  /** Requests of the honest clients during the flood. */
  readonly honest: number
  readonly honestFailed: number
  /** 99th percentile of what an honest request takes, in milliseconds: of each window of 4 s, and of these the middle one. */
  readonly quietP99Ms: number
  /** The same while something else, which attacks nobody, takes the processor as the attackers do. */
  readonly burntP99Ms: number
  readonly floodP99Ms: number
  /** What the node that grew most still held, its garbage collected, at the end of the flood above what it held in the middle of it. */
  readonly heldGrowthBytes: number
  /** The same of its resident memory. */
  readonly residentGrowthBytes: number
  /** The most that a node took above what it took when it was quiet. */
  readonly peakBytes: number
  /** How often each attack got through to a node. */
  readonly acts: Readonly<Record<string, number>>
  readonly failures: readonly string[]
}

/** Three real node processes on loopback, of which two must answer; honest clients over both transports, and everything against them. */
export async function flood(options: FloodOptions): Promise<FloodReport> {
  const { log } = options
  const cluster = await createTestCluster({ n: 3, t: 2, launcher: () => INSPECTED })
  const clients: KmsClient[] = []
  const attackers: Attacker[] = []
  try {
    log('three nodes make a key ...')
    await Promise.all(cluster.nodes.map((node) => node.start()))
    await makeKey(cluster.nodes, KEY)
    const file = await cluster.file()
    const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
    const overHttp = await createNodeKmsClient({ cluster: file, signer })
    clients.push(overHttp, await createNodeKmsClient({ cluster: file, signer, transport: libp2p() }))
    const envelope = await overHttp.encrypt(PLAINTEXT, { key: KEY, owners: [signer.publicKeyId] })
    await measure(clients, envelope, WARM_UP_MS)
    log(`quiet for ${options.quietSeconds} s ...`)
    const quiet = await measureInWindows(clients, envelope, 1000 * options.quietSeconds)
    log('as long with a burning processor and no attack ...')
    const burnt = await burning(options, () => measureInWindows(clients, envelope, 1000 * options.quietSeconds))
    const before = await memoryOf(cluster)

    const plan = await planOf(cluster, overHttp, envelope)
    for (const [at, name] of options.attacks.entries())
      attackers.push(
        await startAttacker(name, { plan: { ...plan, from: `127.0.0.${10 + at}` }, cluster, nice: options.nice }),
      )
    await Promise.all(attackers.map((attacker) => attacker.reachesANode()))
    log(`flooded for ${options.floodSeconds} s by ${attackers.map(({ name }) => name).join(', ')} ...`)
    const peaks = before.slice()
    const sampling = setInterval(() => void noteMemory(cluster, peaks), SAMPLE_MS)
    // Warmed up as in peace: what refuses is compiled at its first refusals.
    const begun = await measure(clients, envelope, WARM_UP_MS)
    const firstHalf = await measureInWindows(clients, envelope, 500 * options.floodSeconds)
    const middle = await heldBy(cluster)
    // What came while garbage was collected for the measurement is answered first; failures count all the same.
    const between = await measure(clients, envelope, SETTLE_MS)
    const secondHalf = await measureInWindows(clients, envelope, 500 * options.floodSeconds)
    const end = await heldBy(cluster)
    clearInterval(sampling)
    const flooded = {
      times: [...firstHalf.times, ...secondHalf.times],
      windowP99Ms: [...firstHalf.windowP99Ms, ...secondHalf.windowP99Ms],
      failures: [...begun.failures, ...firstHalf.failures, ...between.failures, ...secondHalf.failures],
    }
    const failures = [...quiet.failures, ...burnt.failures, ...flooded.failures]
    return {
      honest: flooded.times.length + flooded.failures.length,
      honestFailed: failures.length,
      quietP99Ms: percentile(quiet.windowP99Ms, 0.5),
      burntP99Ms: percentile(burnt.windowP99Ms, 0.5),
      floodP99Ms: percentile(flooded.windowP99Ms, 0.5),
      heldGrowthBytes: most(end.map(({ heldBytes }, node) => heldBytes - (middle[node]?.heldBytes ?? 0))),
      residentGrowthBytes: most(
        end.map(({ residentBytes }, node) => residentBytes - (middle[node]?.residentBytes ?? 0)),
      ),
      peakBytes: most(peaks.map((peak, node) => peak - (before[node] ?? 0))),
      acts: Object.fromEntries(attackers.map(({ name, acts }) => [name, acts()])),
      failures: [...new Set(failures)].slice(0, 10),
    }
  } finally {
    for (const attacker of attackers) await attacker.stop()
    await Promise.allSettled(clients.map((client) => client.close()))
    await cluster.dispose()
  }
}

/** While processes only burn the processor, as many as the attackers and as far back: what a full machine costs by itself. */
async function burning<T>({ attacks, nice }: FloodOptions, run: () => Promise<T>): Promise<T> {
  const burners = attacks.map(() =>
    spawn('nice', ['-n', `${nice}`, process.execPath, '-e', 'for (;;);'], { stdio: 'ignore' }),
  )
  try {
    return await run()
  } finally {
    for (const burner of burners) {
      const exited = once(burner, 'exit')
      burner.kill('SIGKILL')
      await exited
    }
  }
}

const memoryOf = (cluster: TestCluster): Promise<readonly number[]> =>
  Promise.all(cluster.nodes.map(({ pid }) => residentBytes(pid)))

/** Keeps the most that each node was seen to take. */
async function noteMemory(cluster: TestCluster, peaks: number[]): Promise<void> {
  for (const [node, bytes] of (await memoryOf(cluster)).entries()) peaks[node] = Math.max(peaks[node] ?? 0, bytes)
}

const heldBy = (cluster: TestCluster): Promise<readonly HeldMemory[]> =>
  Promise.all(cluster.nodes.map((node) => heldMemory(node.log())))

const most = (values: readonly number[]): number => Math.max(...values)

function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0
}

interface Measured {
  readonly times: readonly number[]
  readonly failures: readonly string[]
}

/** The same in windows of 4 s: one stall of the machine is in one of them. */
async function measureInWindows(
  clients: readonly KmsClient[],
  envelope: SealedEnvelope,
  forMs: number,
): Promise<Measured & { readonly windowP99Ms: readonly number[] }> {
  const windows: Measured[] = []
  for (let left = forMs; left > 0; left -= WINDOW_MS)
    windows.push(await measure(clients, envelope, Math.min(left, WINDOW_MS)))
  return {
    times: windows.flatMap(({ times }) => times),
    failures: windows.flatMap(({ failures }) => failures),
    windowP99Ms: windows.map(({ times }) => percentile(times, 0.99)),
  }
}

/** Decrypts with every client, one request after the other, and looks at what comes. */
async function measure(clients: readonly KmsClient[], envelope: SealedEnvelope, forMs: number): Promise<Measured> {
  const times: number[] = []
  const failures: string[] = []
  const endMs = performance.now() + forMs
  const ask = async (client: KmsClient): Promise<void> => {
    while (performance.now() < endMs) {
      const startMs = performance.now()
      try {
        const opened = await client.decrypt(envelope, { signal: AbortSignal.timeout(SLOWEST_REQUEST_MS) })
        if (equalBytes(opened, PLAINTEXT)) times.push(performance.now() - startMs)
        else failures.push('another plaintext')
      } catch (cause) {
        failures.push(cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause))
      }
      await passed(PAUSE_MS)
    }
  }
  await Promise.all(clients.map(ask))
  return { times, failures }
}

async function planOf(
  cluster: TestCluster,
  client: KmsClient,
  envelope: SealedEnvelope,
): Promise<Omit<AttackPlan, 'from'>> {
  const { authorization } = await client.request(envelope)
  const request = decodeRequest(nobleCurve, authorization.payload)
  const payload = encodeRequest({ ...request, publicKeyId: 'none' })
  const unsigned: Authorization = { payload, signature: new Uint8Array(0), publicKeyId: 'none' }
  const forged = { ...authorization, signature: new Uint8Array(64) }
  const frames = Array.from({ length: PIPELINED }, (_, at) =>
    encode.single(tkms.v1.DelegateCall.encode({ correlationId: at + 1, request: forged }).finish()),
  )
  const targets = parseCluster(await cluster.file()).nodes.map(({ url, multiaddrs }) => ({
    httpPort: Number(new URL(url).port),
    p2pPort: Number(multiaddrs[0]?.split('/').at(-1)),
  }))
  return {
    targets,
    unsigned: JSON.stringify(formatAuthorization(unsigned)),
    signed: JSON.stringify(formatAuthorization(authorization)),
    frames: frames.map((frame) => Buffer.from(frame.subarray()).toString('base64')),
  }
}

interface Attacker {
  readonly name: AttackName
  acts(): number
  /** Resolves when it got through to a node for the first time. */
  reachesANode(): Promise<void>
  stop(): Promise<void>
}

/** In a process of its own, and niced: the nodes are to be tested, not the scheduler of a small machine. */
async function startAttacker(
  name: AttackName,
  { plan, cluster, nice }: { readonly plan: AttackPlan; readonly cluster: TestCluster; readonly nice: number },
): Promise<Attacker> {
  const file = join(cluster.directory, `${name}.plan.json`)
  await writeFile(file, JSON.stringify(plan))
  const child = spawn('nice', ['-n', `${nice}`, process.execPath, ATTACKER, name, file], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  const exited = once(child, 'exit')
  let acts = 0
  child.stdout?.on('data', (chunk: Buffer) => {
    acts = Number(chunk.toString().trim().split('\n').at(-1))
  })
  const reachesANode = async (): Promise<void> => {
    const endMs = performance.now() + FIRST_ACT_MS
    while (acts === 0) {
      if (performance.now() > endMs || child.exitCode !== null) throw new Error(`the attack ${name} reaches no node`)
      await passed(SAMPLE_MS)
    }
  }
  return {
    name,
    acts: () => acts,
    reachesANode,
    stop: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}
