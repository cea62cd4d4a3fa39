import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  LocalCluster,
  type LocalClusterOptions,
  type LocalNode,
  type ProcessSettings,
} from '@tkms/examples/local-cluster'
import { type AdminClient, type CeremonyStatus, connectAdmin } from '@tkms/kms-node'

/** Development settings: cheap passphrase hash, short ceremony timers. */
const ENVIRONMENT: Readonly<Record<string, string>> = {
  TKMS_CEREMONY_PHASE_BASE_MS: '4000',
  TKMS_CEREMONY_PHASE_PER_MEMBER_MS: '1',
  TKMS_CEREMONY_RETRANSMIT_MS: '300',
  TKMS_CEREMONY_RETRANSMIT_MAX_MS: '1000',
}

/** Settings of the passphrase sealer, which the others refuse. */
const PASSPHRASE_ENVIRONMENT = { TKMS_SEALER_SCRYPT_LOG_N: '10' }

/** A running node, as an operator sees it. */
export interface Operated {
  readonly name: string
  readonly directory: string
  admin(): Promise<AdminClient>
  /** What the node has printed, all lives together. */
  log(): string
}

/** A node of a test cluster, as a process that can be killed and started again on the same directory. */
export interface TestNode extends Operated {
  readonly index: number
  readonly url: string
  /** Of the process that runs now. */
  readonly pid: number
  start(): Promise<void>
  /** SIGTERM, and waits. @returns the exit code */
  stop(): Promise<number | null>
  /** SIGKILL, and waits. */
  kill(): Promise<void>
}

export interface TestCluster {
  readonly directory: string
  readonly nodes: readonly TestNode[]
  node(index: number): TestNode
  /** Makes nodes that are in no committee yet and joins them; nothing is started. Their indices follow those of the others. */
  addCandidates(count: number): Promise<readonly TestNode[]>
  /** One `kms-node` command with `--json`; its JSON lines. @param settings over the environment of the cluster */
  run(args: readonly string[], settings?: ProcessSettings): Promise<readonly unknown[]>
  /** The cluster file of the first node, with the certificates of its keys. */
  file(): Promise<unknown>
  /** Kills what still runs and removes the directory. */
  dispose(): Promise<void>
}

export interface TestClusterOptions {
  readonly n: number
  readonly t: number
  readonly environment?: Readonly<Record<string, string>>
  /** Default: a passphrase file of each node. */
  readonly sealer?: LocalClusterOptions['sealer']
  /** Over `environment`, for the processes of one node. */
  readonly environmentOf?: LocalClusterOptions['environmentOf']
  /** HTTPS, as in production; default: plain HTTP on loopback, so that a test needs no certificate. */
  readonly tls?: boolean
  /** What is put before the command of a node's process, by its index. */
  readonly launcher?: (index: number) => readonly string[]
  /** Where the cluster's own directory is made; default: the temporary directory. */
  readonly parent?: string
}

/** Makes and joins a cluster on loopback with free ports; nothing is started. */
export async function createTestCluster(options: TestClusterOptions): Promise<TestCluster> {
  const directory = await mkdtemp(join(options.parent ?? tmpdir(), 'tkms-test-'))
  const logs = new Map<string, string>()
  const cluster = await LocalCluster.create({
    directory,
    nodes: options.n,
    threshold: options.t,
    tls: options.tls ?? false,
    environment: {
      ...ENVIRONMENT,
      ...(options.sealer === undefined ? PASSPHRASE_ENVIRONMENT : {}),
      ...options.environment,
    },
    ...(options.sealer && { sealer: options.sealer }),
    ...(options.environmentOf && { environmentOf: options.environmentOf }),
    ...(options.launcher && { launcher: ({ index }: LocalNode) => options.launcher?.(index) ?? [] }),
    onLog: (name, line) => logs.set(name, `${logs.get(name) ?? ''}${line}\n`),
  })
  const wrap = (node: LocalNode): TestNode => createTestNode(cluster, node, () => logs.get(node.name) ?? '')
  const nodes = cluster.nodes.map(wrap)
  const [first] = cluster.nodes
  return {
    directory,
    nodes,
    node: (index) => nodes[index - 1] ?? fail(`no node ${index}`),
    addCandidates: async (count) => {
      const [known] = cluster.nodes
      if (known === undefined) return fail('no node')
      const added = (await cluster.addCandidates(count, known)).map(wrap)
      nodes.push(...added)
      return added
    },
    run: (args, settings) => cluster.run(args, settings),
    file: () => (first === undefined ? fail('no node') : cluster.clusterOf(first)),
    dispose: async () => {
      await Promise.all(nodes.map((node) => node.kill()))
      await rm(directory, { recursive: true, force: true })
    },
  }
}

function createTestNode(cluster: LocalCluster, node: LocalNode, log: () => string): TestNode {
  return {
    index: node.index,
    name: node.name,
    directory: node.dataDir,
    url: node.url,
    get pid() {
      return node.process?.pid ?? fail(`${node.name} does not run`)
    },
    start: () => cluster.start(node),
    stop: async () => {
      const child = node.process
      await cluster.stop(node, 'SIGTERM')
      return child?.exitCode ?? null
    },
    kill: () => cluster.stop(node, 'SIGKILL'),
    admin: () => connectAdmin(node.dataDir),
    log,
  }
}

/** Index of the leader of view 0 (protocol 4), for members 1..n. */
export const leaderOf = (ceremony: string, n: number): number => 1 + (Number.parseInt(ceremony.slice(2, 10), 16) % n)

/** Proposes a key on the first of `nodes` and approves it on the others. @returns the ceremony's id */
export async function proposeAndApprove(nodes: readonly Operated[], keyName: string): Promise<string> {
  const [first, ...others] = nodes
  if (first === undefined) return fail('no node to propose on')
  const proposed = (await (await first.admin()).post('/ceremonies', { keyName })) as CeremonyStatus
  await Promise.all(others.map((node) => approve(node, proposed.ceremony)))
  return proposed.ceremony
}

/** Lets `nodes` make a key. @returns what each of them says of the finished ceremony */
export async function makeKey(nodes: readonly Operated[], keyName: string): Promise<readonly CeremonyStatus[]> {
  const ceremony = await proposeAndApprove(nodes, keyName)
  return Promise.all(nodes.map((node) => waitForStatus(node, ceremony, ({ stage }) => stage === 'complete')))
}

/** Approves as soon as the proposal has arrived. */
export async function approve(node: Operated, ceremony: string): Promise<void> {
  await waitForStatus(node, ceremony, () => true)
  await (await node.admin()).post(`/ceremonies/${ceremony}/approve`, {})
}

/** The first status of the ceremony at this node that satisfies `wanted`. The test's own timeout bounds the wait. */
export async function waitForStatus(
  node: Operated,
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

function fail(message: string): never {
  throw new Error(message)
}
