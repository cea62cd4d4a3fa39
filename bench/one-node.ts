import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LocalCluster, type LocalNode } from '@tkms/examples/local-cluster'

/** One node process of three that have made a key; the other two are stopped. */
export interface OneNode {
  readonly node: LocalNode
  readonly pid: number
  readonly keyName: string
  /** Its cluster file, with the key's certificate. */
  readonly cluster: unknown
  /** On the same disk as the node's. */
  readonly directory: string
  /** What the node has printed. */
  log(): string
}

export interface OneNodeOptions {
  /** What is put before its command. */
  readonly launcher?: readonly string[]
  /** Lines of node.yaml. */
  readonly extraConfig?: string
  /** Of policy.yaml; default: every key is the owner's. */
  readonly rule?: string
  readonly environment?: Readonly<Record<string, string>>
}

const KEY = 'ecies/served'
/** It is asked by one address only, as fast as it can. */
const ENVIRONMENT = {
  TKMS_SEALER_SCRYPT_LOG_N: '10',
  TKMS_LIMITS_REQUESTS_PER_SECOND: '1000000',
  TKMS_LIMITS_REQUEST_BURST: '1000000',
}
/** Lines of a node's log that are kept: its first ones. */
const MAX_LINES = 200

/** Runs a node as its operator does, but for rate limits and the policy's quota, while `use` asks it. */
export async function withOneNode<T>(options: OneNodeOptions, use: (node: OneNode) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'tkms-bench-'))
  const lines: string[] = []
  const { launcher = [], extraConfig, rule = 'rule: owner' } = options
  let cluster: LocalCluster | undefined
  try {
    cluster = await LocalCluster.create({
      directory,
      nodes: 3,
      threshold: 2,
      environment: { ...ENVIRONMENT, ...options.environment },
      launcher: ({ index }) => (index === 1 ? launcher : []),
      ...(extraConfig !== undefined && { extraConfig }),
      onLog: (name, line) => {
        if (name === 'node-1' && lines.length < MAX_LINES) lines.push(line)
      },
    })
    const [node, ...others] = cluster.nodes
    if (node === undefined) throw new Error('three nodes were made')
    await writeFile(join(node.dataDir, 'policy.yaml'), `version: 1\nkeys: { '*': { ${rule} } }\n`)
    await cluster.startAll()
    await cluster.makeKey(KEY)
    for (const other of others) await cluster.stop(other)
    const pid = node.process?.pid
    if (pid === undefined) throw new Error('the node has ended')
    const file = await cluster.clusterOf(node)
    return await use({ node, pid, keyName: KEY, cluster: file, directory, log: () => lines.join('\n') })
  } finally {
    await cluster?.stopAll()
    await rm(directory, { recursive: true, force: true })
  }
}
