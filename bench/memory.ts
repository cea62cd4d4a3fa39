import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { connectAdmin } from '@tkms/kms-node'
import { type HeldMemory, heldMemory, INSPECTED } from '../test/support/inspected-memory.ts'
import type { TransportName } from './asked-node.ts'
import type { AskingMessage } from './asking-process.ts'
import { type Helper, startHelper } from './helper-process.ts'
import type { HoldingMessage } from './holding-process.ts'
import { type OneNode, withOneNode } from './one-node.ts'

/** What a node takes for one more of something. */
export interface MemoryCost {
  /** Objects and buffers that are left when its garbage has been collected. */
  readonly held_bytes: number
  /** Of the process, as the system counts it: in pages, and with garbage that V8 has room for. */
  readonly resident_bytes: number
}

export interface PendingCost extends MemoryCost {
  /** Items of the request. */
  readonly items: number
  /** Bytes of the request as it is signed. */
  readonly request_bytes: number
  /** `held_bytes` to `request_bytes`. */
  readonly request_ratio: number
}

export interface MemoryResult {
  /** The whole node, which has answered some requests and has no connection. */
  readonly idle: MemoryCost
  /** An open connection after its first request, its libp2p stream included. */
  readonly per_connection: Readonly<Record<TransportName, MemoryCost>>
  /** A request that waits for its turn, over libp2p. */
  readonly per_pending_request: readonly PendingCost[]
  /** What stays of requests that are answered, remembered ids and audit records included. */
  readonly per_million_requests: MemoryCost & {
    /** It is told from so many. */
    readonly requests: number
  }
}

export interface MemoryOptions {
  /** Open at once. */
  readonly connections: number
  /** Connections of those that wait, and how many of each wait. */
  readonly pending: { readonly connections: number; readonly each: number }
  readonly warmUpRequests: number
  readonly requests: number
  readonly log: (line: string) => void
}

const CHAIN_ID = 1
/** Whoever does not own an envelope waits for a chain that says nothing. */
const RULE = `any: [{ rule: owner }, { rule: onchain, chain: ${CHAIN_ID}, contract: '0x${'11'.repeat(20)}', view: 'isOpen(bytes32)', args: [handle] }]`
const CHAIN_TIMEOUT_MS = 30_000
const QUEUE = {
  TKMS_LIMITS_MAX_REQUESTS_QUEUED: '65536',
  TKMS_LIMITS_MAX_HTTP_CONNECTIONS: '4096',
  TKMS_LIMITS_MAX_HTTP_CONNECTIONS_PER_ADDRESS: '4096',
  TKMS_LIMITS_NEW_HTTP_CONNECTIONS_PER_SECOND: '4096',
}
const ASKED_AT_ONCE = 2_000
const IN_FLIGHT = 64
const MILLION = 1_000_000

/** A real node process: what it holds, by its inspector, with and without connections, requests that wait, and requests behind it. */
export async function benchMemory(options: MemoryOptions): Promise<MemoryResult> {
  const chain = createServer(() => undefined).listen(0, '127.0.0.1')
  await once(chain, 'listening')
  const { port } = chain.address() as AddressInfo
  const extraConfig = `chains: { '${CHAIN_ID}': { rpc: ['http://127.0.0.1:${port}'], timeoutMs: ${CHAIN_TIMEOUT_MS} } }\n`
  try {
    return await withOneNode({ launcher: INSPECTED, extraConfig, rule: RULE, environment: QUEUE }, (node) =>
      measure(node, options),
    )
  } finally {
    chain.closeAllConnections()
    chain.close()
  }
}

async function measure(one: OneNode, options: MemoryOptions): Promise<MemoryResult> {
  const { log } = options
  const asking = startHelper(join(import.meta.dirname, 'asking-process.ts'))
  const holding = startHelper(join(import.meta.dirname, 'holding-process.ts'))
  const hold = (message: HoldingMessage): Promise<unknown> => holding.ask(message)
  const held = (): Promise<HeldMemory> => heldMemory(one.log())
  try {
    const asked = { cluster: one.cluster, name: one.node.name, keyName: one.keyName }
    await asking.ask({ kind: 'open', asked } satisfies AskingMessage)
    await hold({ kind: 'open', asked, chainId: CHAIN_ID })
    log(`  ${options.warmUpRequests} requests, and then ${options.requests} ...`)
    await askMany(asking, options.warmUpRequests)
    const warm = await held()
    await askMany(asking, options.requests)
    const perMillion = { ...perOne(warm, await held(), options.requests / MILLION), requests: options.requests }
    await asking.stop()

    /** What is more while `count` connections are open. */
    const connected = async (transport: TransportName): Promise<MemoryCost> => {
      const { connections: count } = options
      log(`  ${count} connections over ${transport} ...`)
      // Code is compiled before it counts.
      await hold({ kind: 'connect', transport, count: Math.ceil(count / 4) })
      await hold({ kind: 'release' })
      const before = await held()
      await hold({ kind: 'connect', transport, count })
      const cost = perOne(before, await held(), count)
      await hold({ kind: 'release' })
      return cost
    }
    const perConnection = { libp2p: await connected('libp2p'), http: await connected('http') }

    const waiting = async (items: number): Promise<PendingCost> => {
      const { connections, each } = options.pending
      const count = connections * each
      log(`  ${count} requests of ${items} that wait ...`)
      await hold({ kind: 'connect', transport: 'libp2p', count: connections })
      const before = await held()
      const requestBytes = Number(await hold({ kind: 'ask', items, count }))
      await untilUnderWay(one, count)
      const cost = perOne(before, await held(), count)
      await hold({ kind: 'release' })
      await untilUnderWay(one, 0)
      const ratio = Math.round((cost.held_bytes * 100) / requestBytes) / 100
      return { items, ...cost, request_bytes: requestBytes, request_ratio: ratio }
    }
    const pending = [await waiting(1), await waiting(256)]
    return {
      idle: { held_bytes: warm.heldBytes, resident_bytes: warm.residentBytes },
      per_connection: perConnection,
      per_pending_request: pending,
      per_million_requests: perMillion,
    }
  } finally {
    await Promise.all([asking.stop(), holding.stop()])
  }
}

const perOne = (before: HeldMemory, after: HeldMemory, count: number): MemoryCost => ({
  held_bytes: Math.round((after.heldBytes - before.heldBytes) / count),
  resident_bytes: Math.round((after.residentBytes - before.residentBytes) / count),
})

async function askMany(asking: Helper, requests: number): Promise<void> {
  for (let left = requests; left > 0; left -= ASKED_AT_ONCE) {
    const message: AskingMessage = { kind: 'prepare', items: 1, requests: Math.min(left, ASKED_AT_ONCE) }
    await asking.ask(message)
    const run: AskingMessage = { kind: 'run', transport: 'libp2p', items: 1, inFlight: IN_FLIGHT }
    await asking.ask(run)
  }
}

const POLL_MS = 20
const SETTLE_MS = 20_000

/** Waits until the node has so many requests that it has not answered. @throws Error when that takes 20 s */
async function untilUnderWay({ node }: OneNode, wanted: number): Promise<void> {
  const admin = await connectAdmin(node.dataDir)
  const deadlineMs = performance.now() + SETTLE_MS
  for (;;) {
    const { requestsUnderWay } = (await admin.get('/status')) as { readonly requestsUnderWay: number }
    if (requestsUnderWay === wanted) return
    if (performance.now() > deadlineMs)
      throw new Error(`${requestsUnderWay} requests are under way at the node, not ${wanted}`)
    await setTimeout(POLL_MS)
  }
}
