import { generateKeyPairSync, sign as signEd25519 } from 'node:crypto'
import type { Libp2p, Stream } from '@libp2p/interface'
import { participantIndex } from '@tkms/dkg'
import { tkms } from '@tkms/proto'
import { decode, encode } from 'it-length-prefixed'
import { refusalCode } from '../../packages/dkg/src/decrypt/refusal.ts'
import { type Authorization, formatAuthorization } from '../../packages/dkg/src/decrypt/authorization.ts'
import { serverOptions } from '../../packages/kms-node/src/http/server.fixture.ts'
import { createHttpServer } from '../../packages/kms-node/src/http/server.ts'
import { createDelegateServer, DELEGATE_PROTOCOL } from '../../packages/kms-node/src/net/delegate-protocol.ts'
import { startStranger, startTestHost, TEST_LIMITS } from '../../packages/kms-node/src/net/test-hosts.fixture.ts'
import type { Policy } from '../../packages/kms-node/src/policy/policy.ts'
import { createTestLender, createTestPipeline } from '../../packages/kms-node/src/serve/pipeline.fixture.ts'

/** One request as it goes onto the wire. */
export interface Ask {
  readonly authorization: Authorization
  readonly token?: string
  /** Changes the JSON of the HTTP body; libp2p carries bytes and has no such text. */
  readonly json?: (text: string) => string
}

/** "answer" or the code of a refusal. */
export type Outcome = string

/** One door of one node. */
export interface Door {
  readonly name: string
  readonly transport: 'http' | 'libp2p'
  ask(ask: Ask): Promise<Outcome>
}

export interface ThreeNodes {
  readonly doors: readonly Door[]
  /** Every node's policy from now on. */
  setPolicy(policy: Policy): void
  /** How often a share was used since the last call. */
  usesOfShares(): number
  stop(): Promise<void>
}

/** Three nodes with the shares of one key, each behind a real HTTP server and a real libp2p host on loopback. */
export async function startThreeNodes(): Promise<ThreeNodes> {
  const stops: (() => Promise<void> | void)[] = []
  const doors: Door[] = []
  let policy: Policy | undefined
  let edition = 0
  const inForce = (): Policy => {
    if (policy === undefined) throw new Error('no policy was set')
    return policy
  }
  const lenders = [1, 2, 3].map((member) => createTestLender(participantIndex(member)))
  const stranger = await startStranger()
  stops.push(() => stranger.stop())
  for (const [at, lender] of lenders.entries()) {
    const identity = generateKeyPairSync('ed25519').privateKey
    const { pipeline, dryRun } = createTestPipeline({
      lender,
      sign: (message) => new Uint8Array(signEd25519(null, message, identity)),
      policy: {
        get edition() {
          return edition
        },
        decide: (...input) => inForce().decide(...input),
        explain: (...input) => inForce().explain(...input),
      },
      limits: { maxRequestsInFlight: 8, maxRequestsQueued: 64, rsaKeyCacheEntries: 16 },
    })
    const limits = { requestsPerSecond: 1e6, requestBurst: 1e6, maxHttpConnections: 256, httpRequestTimeoutMs: 10_000 }
    const server = createHttpServer(serverOptions({ pipeline, dryRun, limits }))
    await server.start()
    stops.push(() => server.stop())
    doors.push({ name: `node ${at + 1}`, transport: 'http', ask: (ask) => askHttp(server.url, ask) })

    const { host } = await startTestHost(at + 1, [])
    stops.push(() => host.stop())
    const delegate = createDelegateServer({
      host,
      handler: pipeline,
      limits: TEST_LIMITS,
      admit: () => true,
      onStreamError: () => {},
    })
    await delegate.start()
    stops.push(() => delegate.stop(AbortSignal.timeout(1_000)))
    doors.push({ name: `node ${at + 1}`, transport: 'libp2p', ask: (ask) => askLibp2p(stranger, host, ask) })
  }
  let seen = 0
  return {
    doors,
    setPolicy: (next) => {
      policy = next
      edition++
    },
    usesOfShares() {
      const all = lenders.reduce((sum, { uses }) => sum + uses, 0)
      const since = all - seen
      seen = all
      return since
    },
    async stop() {
      for (const stop of stops.toReversed()) await stop()
    },
  }
}

async function askHttp(url: string, { authorization, token, json = (text) => text }: Ask): Promise<Outcome> {
  const response = await fetch(`${url}/v1/delegate`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    body: json(JSON.stringify(formatAuthorization(authorization))),
  })
  const body = (await response.json()) as { error?: { code: string } }
  if (response.ok) return 'answer'
  return body.error?.code ?? `HTTP ${response.status}`
}

async function askLibp2p(stranger: Libp2p, host: Libp2p, { authorization, token }: Ask): Promise<Outcome> {
  const stream: Stream = await stranger.dialProtocol(host.getMultiaddrs(), DELEGATE_PROTOCOL)
  const request = tkms.v1.DelegateCall.encode({ correlationId: 1, request: authorization, token: token ?? '' }).finish()
  for (const chunk of encode([request])) stream.send(chunk)
  for await (const frame of decode(stream)) {
    const { answer, refusal } = tkms.v1.DelegateReply.decode(frame.slice())
    await stream.close()
    if (answer) return 'answer'
    return refusalCode(refusal?.status ?? 0) ?? `status ${refusal?.status}`
  }
  throw new Error('the stream ended without a reply')
}
