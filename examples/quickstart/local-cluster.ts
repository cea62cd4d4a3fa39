import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { connectAdmin } from '@tkms/kms-node'
import { freePorts } from './free-ports.ts'
import { PROGRAMS } from './programs.ts'

const NODE_PROGRAM = PROGRAMS['kms-node']
/** Nodes that share a machine compute on one thread each. */
const SHARED_MACHINE: Readonly<Record<string, string>> = { TKMS_SERVING_WORKERS: '0' }
const START_TIMEOUT_MS = 120_000
const COMMAND_TIMEOUT_MS = 120_000
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024

export interface LocalClusterOptions {
  /** Where every node gets its own data directory. */
  readonly directory: string
  readonly nodes: number
  readonly threshold: number
  /** Lines for node.yaml of every node, for example shorter phase times. */
  readonly extraConfig?: string
  /** HTTPS with a pinned certificate; default: true. */
  readonly tls?: boolean
  /** What seals the nodes' stores, or one node's by its name; default: a passphrase file of each. */
  readonly sealer?: LocalSealer | ((name: string) => LocalSealer)
  /** Settings of every process over the environment of this one, for example TKMS_SEALER_SCRYPT_LOG_N. */
  readonly environment?: Readonly<Record<string, string>>
  /** Over that, for the processes of one node and whenever one starts; undefined takes a setting away. */
  readonly environmentOf?: (name: string) => ProcessSettings
  /** What is put before the command of a node's process, for example `env NAME=value`. */
  readonly launcher?: (node: LocalNode) => readonly string[]
  /** Called with every line a node logs (JSON). */
  readonly onLog?: (name: string, line: string) => void
}

export type LocalSealer = 'tpm2' | 'dstack' | 'kms-file'
export type ProcessSettings = Readonly<Record<string, string | undefined>>

/** One node of the cluster: its files, and its process while it runs. */
export interface LocalNode {
  readonly name: string
  readonly index: number
  readonly dataDir: string
  readonly url: string
  process: ChildProcess | undefined
}

/** Changes a ceremony makes, as `ceremony watch --json` prints them. */
export interface CeremonyChange {
  readonly ceremony: string
  readonly stage: string
  readonly phase?: string
  readonly have?: number
  readonly want?: number
  readonly missing?: readonly { readonly name: string }[]
  readonly reason?: string
  readonly keyId?: string
  readonly publicKey?: string
}

export interface MadeKey extends CeremonyChange {
  /** From the proposal to the certificate at every node. */
  readonly tookMs: number
}

const execute = promisify(execFile)

/** Several real node processes on loopback, driven through the command line an operator uses. */
export class LocalCluster {
  readonly directory: string
  #nodes: readonly LocalNode[]
  readonly #options: LocalClusterOptions
  /** By node: the end of the process that was last told to end. */
  readonly #ending = new Map<LocalNode, Promise<unknown>>()

  private constructor(options: LocalClusterOptions, nodes: readonly LocalNode[]) {
    this.directory = options.directory
    this.#nodes = nodes
    this.#options = options
  }

  /** `init` on every node, `cluster new`, `cluster join` on every node. Nothing runs yet. */
  static async create(options: LocalClusterOptions): Promise<LocalCluster> {
    const { directory, nodes: count, threshold } = options
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const cluster = new LocalCluster(options, [])
    const nodes = await cluster.#initMore(count)
    const cards = nodes.map(({ dataDir }) => join(dataDir, 'card.json'))
    await cluster.run(['cluster', 'new', '--threshold', `${threshold}`, '--out', cluster.file, ...cards])
    await Promise.all(nodes.map((node) => cluster.#join(node, cluster.file)))
    return cluster
  }

  get nodes(): readonly LocalNode[] {
    return this.#nodes
  }

  /** Nodes that are in no committee yet: `init`, then `cluster join` with a file that names them as candidates. Nothing is started. */
  async addCandidates(count: number, known: LocalNode): Promise<readonly LocalNode[]> {
    const added = await this.#initMore(count)
    const file = join(this.directory, `cluster-${this.#nodes.length}.json`)
    const cards = added.map(({ dataDir }) => join(dataDir, 'card.json'))
    await this.run(['cluster', 'add', ...cards, '--cluster', join(known.dataDir, 'cluster.json'), '--out', file])
    for (const node of added) await this.#join(node, file)
    return added
  }

  async #initMore(count: number): Promise<readonly LocalNode[]> {
    const ports = await freePorts(2 * count)
    const first = this.#nodes.length + 1
    const nodes = Array.from({ length: count }, (_, at): LocalNode => {
      const name = `node-${first + at}`
      return {
        name,
        index: first + at,
        dataDir: join(this.directory, name),
        url: `${this.#options.tls === false ? 'http' : 'https'}://127.0.0.1:${ports[2 * at + 1]}`,
        process: undefined,
      }
    })
    this.#nodes = [...this.#nodes, ...nodes]
    await Promise.all(
      nodes.map((node, at) => this.#init(node, { p2p: ports[2 * at] ?? 0, http: ports[2 * at + 1] ?? 0 })),
    )
    return nodes
  }

  /** The cluster file as it was made, without keys; each node keeps its own copy with the certificates. */
  get file(): string {
    return join(this.directory, 'cluster.json')
  }

  /** The cluster file of a node: what a client needs. */
  async clusterOf(node: LocalNode): Promise<unknown> {
    return JSON.parse(await readFile(join(node.dataDir, 'cluster.json'), 'utf8'))
  }

  /** Runs one `kms-node` command with `--json`; its JSON lines. @param settings over the environment of the cluster */
  async run(args: readonly string[], settings: ProcessSettings = {}): Promise<readonly unknown[]> {
    const { stdout } = await execute(process.execPath, [NODE_PROGRAM, ...args, '--json'], {
      timeout: COMMAND_TIMEOUT_MS,
      maxBuffer: MAX_OUTPUT_BYTES,
      env: { ...this.#environment(), ...settings },
    })
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as unknown)
  }

  #environment(): NodeJS.ProcessEnv {
    return { ...process.env, ...SHARED_MACHINE, ...this.#options.environment }
  }

  async #join({ name, dataDir }: LocalNode, file: string): Promise<void> {
    await this.run(['cluster', 'join', file, '--data-dir', dataDir], this.#options.environmentOf?.(name))
  }

  async #init(node: LocalNode, ports: { readonly p2p: number; readonly http: number }): Promise<void> {
    const network = [
      '--listen',
      `/ip4/127.0.0.1/tcp/${ports.p2p}`,
      '--http-host',
      '127.0.0.1',
      '--http-port',
      `${ports.http}`,
      ...(this.#options.tls === false ? ['--no-tls'] : []),
    ]
    const store = ['--data-dir', node.dataDir, ...(await this.#sealing(node))]
    await this.run(
      ['init', '--name', node.name, '--profile', 'development', ...network, ...store],
      this.#options.environmentOf?.(node.name),
    )
    const { extraConfig } = this.#options
    if (extraConfig !== undefined) await writeFile(join(node.dataDir, 'node.yaml'), extraConfig, { flag: 'a' })
  }

  async #sealing({ name }: LocalNode): Promise<readonly string[]> {
    const { sealer } = this.#options
    if (sealer !== undefined) return ['--sealer', typeof sealer === 'string' ? sealer : sealer(name)]
    const passphraseFile = join(this.directory, `${name}.passphrase`)
    await writeFile(passphraseFile, randomBytes(24).toString('base64url'), { mode: 0o600 })
    return ['--passphrase-file', passphraseFile]
  }

  /** Starts one node and waits until it says that it is up. */
  async start(node: LocalNode): Promise<void> {
    // With an IPC channel the node tells when it is up, and goes when this process goes, however it ends.
    const command = [process.execPath, NODE_PROGRAM, 'start', '--data-dir', node.dataDir]
    const [program = process.execPath, ...args] = [...(this.#options.launcher?.(node) ?? []), ...command]
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...this.#environment(), ...this.#options.environmentOf?.(node.name) },
    })
    node.process = child
    const tail: string[] = []
    for (const stream of [child.stdout, child.stderr])
      if (stream !== null)
        createInterface({ input: stream }).on('line', (line) => {
          tail.splice(0, tail.length - 3)
          tail.push(line)
          this.#options.onLog?.(node.name, line)
        })
    await new Promise<void>((resolve, reject) => {
      const fail = (problem: string): void => reject(new Error(`${node.name} ${problem}: ${tail.join(' ')}`))
      const timer = setTimeout(() => fail('did not start in time'), START_TIMEOUT_MS)
      child.once('exit', (code, signal) => {
        clearTimeout(timer)
        fail(`ended with ${code ?? signal}`)
      })
      child.once('message', () => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  async startAll(): Promise<void> {
    await Promise.all(this.nodes.map((node) => this.start(node)))
  }

  /** Ends one node's process and waits for it. SIGKILL is a crash, SIGTERM a graceful stop. */
  async stop(node: LocalNode, signal: 'SIGKILL' | 'SIGTERM' = 'SIGTERM'): Promise<void> {
    const child = node.process
    node.process = undefined
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      this.#ending.set(node, once(child, 'exit'))
      child.kill(signal)
    }
    // Who asks while somebody else ends it waits as well: until then the process writes its files.
    await this.#ending.get(node)
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.nodes.map((node) => this.stop(node)))
  }

  /**
   * Proposes a key on the first running node, approves it on every other one as soon as it hears of it, and waits until all of them
   * have the certificate.
   */
  async makeKey(name: string, onChange?: (change: CeremonyChange) => void): Promise<MadeKey> {
    const [proposer, ...others] = this.nodes.filter((node) => node.process !== undefined)
    if (proposer === undefined) throw new Error('no node is running')
    const client = await connectAdmin(proposer.dataDir)
    const startedMs = performance.now()
    const { ceremony } = (await client.post('/ceremonies', { keyName: name, purpose: 'ecies-dec' })) as CeremonyChange
    const [outcome] = await Promise.all([
      follow(proposer, ceremony, onChange),
      ...others.map((node) => follow(node, ceremony)),
    ])
    return { ...outcome, tookMs: performance.now() - startedMs }
  }
}

/** Approves the ceremony where that is asked for, and follows it to its certificate. */
async function follow(
  node: LocalNode,
  ceremony: string,
  onChange?: (change: CeremonyChange) => void,
): Promise<CeremonyChange> {
  const client = await connectAdmin(node.dataDir)
  const stop = new AbortController()
  try {
    for await (const line of client.lines('/watch', stop.signal)) {
      const change = line as CeremonyChange
      if (change.ceremony !== ceremony) continue
      onChange?.(change)
      if (change.stage === 'proposed') await client.post(`/ceremonies/${ceremony}/approve`, {})
      if (change.stage === 'complete') return change
      if (!['proposed', 'authorizing', 'running'].includes(change.stage))
        throw new Error(`the key was not made at ${node.name}: ${change.reason ?? change.stage}`)
    }
  } finally {
    stop.abort()
  }
  throw new Error(`${node.name} stopped`)
}
