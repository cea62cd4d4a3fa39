import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  type AdminClient,
  type CeremonyStatus,
  connectAdmin,
  createCluster,
  initialiseNode,
  joinCluster,
  loadNodeConfig,
  type NodeCard,
  parseNodeCard,
  systemRng,
  withNodeStore,
} from '@tkms/kms-node'

const MAIN = fileURLToPath(import.meta.resolve('@tkms/kms-node')).replace(/index\.js$/, 'main.js')

/** Development settings: cheap passphrase hash, short ceremony timers. */
const ENVIRONMENT: Readonly<Record<string, string>> = {
  TKMS_SEALER_SCRYPT_LOG_N: '10',
  TKMS_CEREMONY_PHASE_BASE_MS: '4000',
  TKMS_CEREMONY_PHASE_PER_MEMBER_MS: '1',
  TKMS_CEREMONY_RETRANSMIT_MS: '300',
  TKMS_CEREMONY_RETRANSMIT_MAX_MS: '1000',
}

/** A node of a test cluster, as a process that can be killed and started again on the same directory. */
export interface TestNode {
  readonly index: number
  readonly name: string
  readonly directory: string
  readonly url: string
  readonly multiaddr: string
  start(): Promise<void>
  /** SIGTERM, and waits. @returns the exit code */
  stop(): Promise<number | null>
  /** SIGKILL, and waits. */
  kill(): Promise<void>
  admin(): Promise<AdminClient>
  /** What the node has printed, all lives together. */
  log(): string
}

export interface TestCluster {
  readonly directory: string
  readonly nodes: readonly TestNode[]
  node(index: number): TestNode
  /** Kills what still runs and removes the directory. */
  dispose(): Promise<void>
}

export interface TestClusterOptions {
  readonly n: number
  readonly t: number
  readonly environment?: Readonly<Record<string, string>>
}

/** Makes and joins a cluster on loopback with free ports; nothing is started. */
export async function createTestCluster(options: TestClusterOptions): Promise<TestCluster> {
  const directory = await mkdtemp(join(tmpdir(), 'tkms-test-'))
  const environment = { ...ENVIRONMENT, ...options.environment }
  const ports = await freePorts(2 * options.n)
  const passphraseFile = join(directory, 'passphrase')
  await writeFile(passphraseFile, 'a passphrase for tests only\n', { mode: 0o600 })
  const places = Array.from({ length: options.n }, (_, at) => ({
    name: `node-${at + 1}`,
    directory: join(directory, `node-${at + 1}`),
    p2pPort: ports[2 * at] ?? 0,
    httpPort: ports[2 * at + 1] ?? 0,
  }))
  const cards: NodeCard[] = []
  for (const place of places) {
    await mkdir(place.directory, { mode: 0o700 })
    const { card } = await initialiseNode({
      directory: place.directory,
      name: place.name,
      profile: 'development',
      listen: [`/ip4/127.0.0.1/tcp/${place.p2pPort}`],
      announce: [],
      httpHost: '127.0.0.1',
      httpPort: place.httpPort,
      tls: false,
      passphraseFile,
      env: { ...environment },
    })
    cards.push(card)
  }
  const parsed = cards.map((card) => parseNodeCard(card, card.name))
  const cluster = createCluster(parsed, { threshold: options.t, rng: systemRng })
  for (const place of places) {
    const config = await loadNodeConfig({ directory: place.directory, env: environment })
    await withNodeStore(config, { ...environment }, (store) => joinCluster(store, config, cluster))
  }
  const nodes = places.map((place, at) => createTestNode(at + 1, place, environment))
  return {
    directory,
    nodes,
    node: (index) => nodes[index - 1] ?? fail(`no node ${index}`),
    dispose: async () => {
      await Promise.all(nodes.map((node) => node.kill()))
      await rm(directory, { recursive: true, force: true })
    },
  }
}

interface Place {
  readonly name: string
  readonly directory: string
  readonly p2pPort: number
  readonly httpPort: number
}

function createTestNode(index: number, place: Place, environment: Readonly<Record<string, string>>): TestNode {
  let child: ChildProcess | undefined
  let output = ''
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    const running = child
    child = undefined
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return null
    running.kill(signal)
    await once(running, 'exit')
    return running.exitCode
  }
  return {
    index,
    name: place.name,
    directory: place.directory,
    url: `http://127.0.0.1:${place.httpPort}`,
    multiaddr: `/ip4/127.0.0.1/tcp/${place.p2pPort}`,
    start: async () => {
      const started = fork(MAIN, ['start', '--data-dir', place.directory], {
        env: { ...environment },
        execArgv: [],
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      })
      child = started
      for (const stream of [started.stdout, started.stderr])
        stream?.setEncoding('utf8').on('data', (text: string) => (output += text))
      const ready = once(started, 'message').then(() => true)
      const gone = once(started, 'exit').then(() => false)
      if (!(await Promise.race([ready, gone]))) fail(`${place.name} did not start:\n${output}`)
    },
    stop: () => end('SIGTERM'),
    kill: async () => {
      await end('SIGKILL')
    },
    admin: () => connectAdmin(place.directory),
    log: () => output,
  }
}

/** Index of the leader of view 0 (protocol 4), for members 1..n. */
export const leaderOf = (ceremony: string, n: number): number => 1 + (Number.parseInt(ceremony.slice(2, 10), 16) % n)

/** Proposes a key on the first of `nodes` and approves it on the others. @returns the ceremony's id */
export async function proposeAndApprove(nodes: readonly TestNode[], keyName: string): Promise<string> {
  const [first, ...others] = nodes
  if (first === undefined) return fail('no node to propose on')
  const proposed = (await (await first.admin()).post('/ceremonies', { keyName })) as CeremonyStatus
  await Promise.all(others.map((node) => approve(node, proposed.ceremony)))
  return proposed.ceremony
}

/** Approves as soon as the proposal has arrived. */
export async function approve(node: TestNode, ceremony: string): Promise<void> {
  await waitForStatus(node, ceremony, () => true)
  await (await node.admin()).post(`/ceremonies/${ceremony}/approve`, {})
}

/** The first status of the ceremony at this node that satisfies `wanted`. The test's own timeout bounds the wait. */
export async function waitForStatus(
  node: TestNode,
  ceremony: string,
  wanted: (status: CeremonyStatus) => boolean,
): Promise<CeremonyStatus> {
  const stop = new AbortController()
  try {
    for await (const line of (await node.admin()).lines('/watch', stop.signal)) {
      const status = line as CeremonyStatus
      if (status.ceremony === ceremony && wanted(status)) return status
    }
  } finally {
    stop.abort()
  }
  return fail(`${node.name} ended before the ceremony got there:\n${node.log()}`)
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map((server) => {
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : fail('no port')
  })
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

function fail(message: string): never {
  throw new Error(message)
}
