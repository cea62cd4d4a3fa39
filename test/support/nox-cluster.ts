import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { PROGRAMS } from '@tkms/examples/programs'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import type { CeremonyStatus } from '@tkms/kms-node'
import type { PrivateKeyAccount } from 'viem/accounts'
import { approve, createTestCluster, type TestCluster, waitForStatus } from './node-cluster.ts'
import {
  authorize,
  delegate,
  type DelegateAnswer,
  type DelegateKeys,
  newAccount,
  startNoxChain,
} from './nox-deployment.ts'

/** A deployment of Nox whose key a cluster of five takes over, t = 3, by the commands and files of docs/nox.md. */

const execute = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
export const CHAIN = 31_337
export const KEY_NAME: string = `ecies/${CHAIN}`
export const WALLET_KEY: string = '17'.repeat(32)

export interface RunningCombiner {
  readonly url: string
  log(): string
}

export interface NoxCluster {
  readonly cluster: TestCluster
  /** Of the contract. */
  readonly gateway: PrivateKeyAccount
  readonly oldKey: string
  readonly kmsPublicKey: `0x${string}`
  /** The identity that the nodes list: ed25519:.. */
  readonly identity: string
  /** A file of the deployment. */
  file(name: string): string
  /** A YAML file of docs/nox.md, for this deployment. */
  documented(title: string): string
  /** One `ceremony propose` on the first node, approved by the others. */
  propose(...options: readonly string[]): Promise<void>
  importKey(keyName: string, key: string): Promise<void>
  /** @returns the ed25519: name */
  keygen(name: string): Promise<string>
  combiner(options: {
    readonly yaml?: string
    readonly env?: Readonly<Record<string, string>>
  }): Promise<RunningCombiner>
  check(yaml: string): Promise<unknown>
  /** The gateway asks a combiner. */
  ask(url: string, keys: DelegateKeys, account?: PrivateKeyAccount): Promise<DelegateAnswer>
  /** Partial decryptions that nodes have given so far. */
  answers(): number
  dispose(): Promise<void>
}

/** @param extraPolicy further keys of the nodes' policies; IDENTITY stands for the combiner's name */
export async function createNoxCluster(extraPolicy: string): Promise<NoxCluster> {
  const page = await readFile(join(root, 'docs/nox.md'), 'utf8')
  const oldKey = bytesToHex(secp256k1.utils.randomSecretKey())
  const kmsPublicKey = `0x${bytesToHex(secp256k1.getPublicKey(hexToBytes(oldKey), true))}` as const
  const gateway = newAccount()
  const chain = await startNoxChain(CHAIN, { gateway: gateway.address, kmsPublicKey })
  const environment = { [`TKMS_CHAINS_${CHAIN}_RPC`]: chain.url, TKMS_LIMITS_REQUEST_BURST: '10000' }
  const cluster = await createTestCluster({ n: 5, t: 3, environment })
  const children: ChildProcess[] = []

  const file = (name: string): string => join(cluster.directory, name)
  const documented = (title: string): string => {
    const block = page.split('```').find((text) => text.includes(`# ${title}\n`))
    if (block === undefined) throw new Error(`docs/nox.md has no ${title}`)
    return block
      .slice(block.indexOf('#'))
      .replaceAll(/^ {3}/gm, '')
      .replaceAll('421614', String(CHAIN))
      .replaceAll('0xd464B198f06756a1d00be223634b85E0a731c229', chain.contract)
      .replaceAll(/https:\/\/rpc-[a-z]+\.example/g, chain.url)
  }
  const keygen = async (name: string): Promise<string> => {
    const { stdout } = await execute(process.execPath, [PROGRAMS.tkms, 'keygen', '--out', file(name)])
    return /ed25519:[0-9a-f]{64}/.exec(stdout)?.[0] ?? ''
  }
  const propose = async (...options: readonly string[]): Promise<void> => {
    const [first, ...others] = cluster.nodes
    const args = ['ceremony', 'propose', ...options, '--data-dir', first?.directory ?? '']
    const [proposed] = (await cluster.run(args)) as CeremonyStatus[]
    const ceremony = proposed?.ceremony ?? ''
    await Promise.all(others.map((node) => approve(node, ceremony)))
    await Promise.all(cluster.nodes.map((node) => waitForStatus(node, ceremony, ({ stage }) => stage === 'complete')))
  }

  const identity = await keygen('combiner.pem')
  const rules = documented('policy.yaml') + extraPolicy.replaceAll('IDENTITY', identity)
  const policy = rules.replace('ed25519:<what keygen printed>', identity)
  for (const node of cluster.nodes) await writeFile(join(node.directory, 'policy.yaml'), policy)
  await Promise.all(cluster.nodes.map((node) => node.start()))
  await writeFile(file('wallet.hex'), `${WALLET_KEY}\n`, { mode: 0o600 })

  return {
    cluster,
    gateway,
    oldKey,
    kmsPublicKey,
    identity,
    file,
    documented,
    propose,
    keygen,
    async importKey(keyName, key) {
      await writeFile(file('old-kms.hex'), key, { mode: 0o600 })
      await propose('--import', keyName, '--key-file', file('old-kms.hex'))
      await writeFile(file('cluster.json'), JSON.stringify(await cluster.file()))
    },
    async combiner({ yaml, env }) {
      const config = file(`combiner-${children.length}.yaml`)
      if (yaml !== undefined) await writeFile(config, yaml)
      const options = yaml === undefined ? [] : ['--config', config]
      const child = spawn(process.execPath, [PROGRAMS['kms-combiner'], ...options], {
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
        env: { ...process.env, ...env },
      })
      children.push(child)
      let text = ''
      for (const stream of [child.stdout, child.stderr])
        stream?.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk
        })
      const ended = once(child, 'exit').then(() => Promise.reject(new Error(text)))
      const [ready] = (await Promise.race([once(child, 'message'), ended])) as [{ readonly url: string }]
      return { url: ready.url, log: () => text }
    },
    async check(yaml) {
      await writeFile(file('checked.yaml'), yaml)
      const args = [PROGRAMS['kms-combiner'], '--check', '--config', file('checked.yaml')]
      return JSON.parse((await execute(process.execPath, args)).stdout) as unknown
    },
    ask: async (url, keys, account = gateway) =>
      delegate(url, { chainId: CHAIN, keys, signature: await authorize(account, CHAIN, keys) }),
    answers: () => cluster.nodes.reduce((sum, node) => sum + node.log().split('"outcome":"answer"').length - 1, 0),
    async dispose() {
      const running = children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)
      const ended = running.map((child) => once(child, 'exit'))
      for (const child of running) child.kill('SIGTERM')
      await Promise.all(ended)
      await cluster.dispose()
      await chain.stop()
    },
  }
}
