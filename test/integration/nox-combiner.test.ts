import { Secret } from '@tkms/dkg'
import { createEd25519Signer, type Transport } from '@tkms/kms-client'
import { createLog } from '@tkms/kms-node'
import {
  type Combiner,
  type CombinerConfig,
  type CombinerParams,
  createWallet,
  startCombiner,
} from '@tkms/kms-node/combiner'
import { bytesToHex } from '@noble/hashes/utils.js'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Cluster, formatCluster } from '../../packages/dkg/src/cluster.ts'
import { createMovingCluster, type MovingCluster } from '../support/moving-cluster.ts'
import {
  authorize,
  delegate,
  type DelegateAnswer,
  encryptValue,
  newAccount,
  newUser,
  type NoxComputeState,
  openValue,
  startNoxChain,
} from '../support/nox-deployment.ts'

/** A combiner over five nodes in this process, t = 3, that answer whatever their policy would say. */
const CHAIN = 31_337
const PLAINTEXT = new Uint8Array(32).fill(42)
const gateway = newAccount()
const user = newUser()
const walletKey = new Uint8Array(32).fill(17)

let moving: MovingCluster
let state: NoxComputeState
let chain: Awaited<ReturnType<typeof startNoxChain>>
let directory: string
let lines: Record<string, unknown>[]
const running: Combiner[] = []

beforeEach(async () => {
  moving = createMovingCluster(8)
  state = { gateway: gateway.address, kmsPublicKey: `0x${bytesToHex(moving.genesis.groupKey)}` }
  chain = await startNoxChain(CHAIN, state)
  directory = await mkdtemp(join(tmpdir(), 'tkms-nox-'))
  lines = []
})
afterEach(async () => {
  await Promise.all(running.splice(0).map((combiner) => combiner.stop()))
  await chain.stop()
  await rm(directory, { recursive: true })
})

async function start(file: Cluster = moving.born, more: Partial<CombinerParams> = {}): Promise<Combiner> {
  const cluster = join(directory, 'cluster.json')
  await writeFile(cluster, JSON.stringify(formatCluster(file)))
  const limits = {
    maxRequestsInFlight: 8,
    maxRequestsQueued: 8,
    maxConnections: 16,
    requestTimeoutMs: 5_000,
    nodeTimeoutMs: 5_000,
    totalTimeoutMs: 20_000,
    renewKeyMs: 3_600_000,
  }
  const config: CombinerConfig = {
    server: { host: '127.0.0.1', port: 0 },
    cluster,
    acceptConfigHashes: [],
    signerFile: 'unused',
    transport: 'http',
    chains: {
      [CHAIN]: { rpc: [chain.url], timeoutMs: 5_000, contract: chain.contract, keyName: moving.genesis.spec.keyName },
    },
    limits,
    log: { level: 'info' },
  }
  const combiner = await startCombiner({
    config,
    signer: createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32)))),
    wallet: createWallet(Secret.copyOf(walletKey)),
    log: createLog({
      level: 'info',
      node: 'combiner',
      destination: { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
    }),
    transport: moving.transport,
    exchange: moving.exchange,
    ...more,
  })
  running.push(combiner)
  return combiner
}

const value = () => encryptValue(state.kmsPublicKey, PLAINTEXT)
async function ask({ url }: Combiner, stored = value()): Promise<DelegateAnswer> {
  const keys = { ephemeralPubKey: stored.publicKey, targetPubKey: user.targetPubKey }
  return delegate(url, { chainId: CHAIN, keys, signature: await authorize(gateway, CHAIN, keys) })
}
async function opens(combiner: Combiner): Promise<void> {
  const stored = value()
  const { status, encryptedSharedSecret } = await ask(combiner, stored)
  expect(status).toBe(200)
  expect(openValue(user, encryptedSharedSecret, stored)).toBe(`0x${bytesToHex(PLAINTEXT)}`)
}

describe('a combiner', () => {
  it('answers right although a node lies, and keeps the evidence', async () => {
    moving.node(2).error = 1n
    moving.node(5).up = false
    const combiner = await start()
    await opens(combiner)
    // Three must answer, and the liar is one of the three that are left: nobody outruns it.
    moving.node(4).up = false
    expect((await ask(combiner)).status).toBe(500)
    moving.node(4).up = true
    await opens(combiner)
    const [told] = lines.filter(({ code }) => code === 'bad-partial')
    expect(told).toMatchObject({ msg: 'node-failed', index: 2, node: 'node-2' })
    expect(told?.['detail']).toMatch(/[a-z]+ [a-z]+/)
    expect(told?.['evidence']).toMatch(/^[0-9a-f]{200,}$/)
    expect(JSON.stringify(lines)).not.toContain(bytesToHex(walletKey))
  })

  it('follows the committee: the key stays usable when every first member is gone', async () => {
    const next = moving.reshare(moving.genesis, [4, 6, 7, 8], 2)
    const combiner = await start()
    await opens(combiner)
    for (const index of [4, 6, 7, 8]) Object.assign(moving.node(index), { serves: [next], file: moving.fileWith(next) })
    moving.node(4).leftBehind = [moving.genesis]
    for (const index of [1, 2, 3, 5]) moving.node(index).up = false
    await opens(combiner)
    expect(next.groupKey).toEqual(moving.genesis.groupKey)
  })

  it('starts on no other key than the one of the contract', async () => {
    state.kmsPublicKey = `0x${'05'.repeat(33)}`
    await expect(start()).rejects.toMatchObject({ code: 'no-kms-public-key' })
    const { publicKey } = encryptValue(`0x${bytesToHex(moving.genesis.groupKey)}`, PLAINTEXT)
    state.kmsPublicKey = publicKey
    await expect(start()).rejects.toMatchObject({
      code: 'key-mismatch',
      message: expect.stringContaining(publicKey),
    })
    state.kmsPublicKey = `0x${bytesToHex(moving.genesis.groupKey)}`
    state.gateway = `0x${'00'.repeat(20)}`
    await expect(start()).rejects.toMatchObject({ code: 'no-gateway' })
    await chain.stop()
    await expect(start()).rejects.toMatchObject({ code: 'chain-unavailable' })
  })

  it('answers nothing while the contract has another key than at its start', async () => {
    const combiner = await start(moving.born, { refreshMs: 50 })
    await opens(combiner)
    const stored = value()
    state.kmsPublicKey = stored.publicKey
    await vi.waitFor(async () => expect((await ask(combiner, stored)).status).toBe(500), 10_000)
    expect(await ask(combiner, stored)).toMatchObject({
      error: 'Storage error: kmsPublicKey() on chain is no longer the key of this service',
    })
    expect(lines.filter(({ msg }) => msg === 'kms-public-key-changed')).toHaveLength(1)
    state.kmsPublicKey = `0x${bytesToHex(moving.genesis.groupKey)}`
    await vi.waitFor(() => opens(combiner), 10_000)
  })

  it('starts with a cluster file that is older than its key', async () => {
    const { certificates: _, ...born } = moving.born
    const combiner = await start({ ...born, certificates: [] })
    await opens(combiner)
  })

  it('says so when too few nodes answer, and asks no node for a stranger', async () => {
    const combiner = await start()
    const keys = { ephemeralPubKey: value().publicKey, targetPubKey: user.targetPubKey }
    const stranger = newAccount()
    const { length } = moving.answered
    expect(
      await delegate(combiner.url, { chainId: CHAIN, keys, signature: await authorize(stranger, CHAIN, keys) }),
    ).toEqual({
      status: 401,
      error: `Unauthorized: signer ${stranger.address} does not match gateway ${gateway.address}`,
    })
    expect(moving.answered).toHaveLength(length)
    for (const index of [1, 3, 5]) moving.node(index).up = false
    expect(await ask(combiner)).toEqual({ status: 500, error: 'Storage error: the cluster did not answer' })
    moving.node(3).up = true
    await opens(combiner)
  })

  it('stops asking when the gateway hangs up', async () => {
    const { promise: hung, resolve } = Promise.withResolvers<void>()
    const transport: Transport = {
      ask: (_node, _authorization, { signal }) =>
        new Promise((_, reject) => {
          resolve()
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
        }),
      close: () => Promise.resolve(),
    }
    const combiner = await start(moving.born, { transport })
    const keys = { ephemeralPubKey: value().publicKey, targetPubKey: user.targetPubKey }
    const left = new AbortController()
    const response = fetch(`${combiner.url}/v0/delegate?chain_id=${CHAIN}&salt=0x${'00'.repeat(32)}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${await authorize(gateway, CHAIN, keys)}` },
      body: JSON.stringify(keys),
      signal: left.signal,
    })
    await hung
    left.abort()
    await expect(response).rejects.toThrow('aborted')
    const pending = async (): Promise<string> => (await fetch(`${combiner.url}/metrics`)).text()
    await expect.poll(pending).toContain('axum_http_requests_pending{method="POST",endpoint="/v0/delegate"} 0')
  })
})
