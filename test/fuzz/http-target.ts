import { once } from 'node:events'
import { connect } from 'node:net'
import { formatAuthorization, type RequestItem } from '@tkms/dkg'
import { serverOptions } from '../../packages/kms-node/src/http/server.fixture.ts'
import { createHttpServer } from '../../packages/kms-node/src/http/server.ts'
import type { Policy } from '../../packages/kms-node/src/policy/policy.ts'
import {
  authorize,
  authorizeBytes,
  createTestPipeline,
  grantedItem,
  grantPolicy,
  policyOf,
  requestOf,
} from '../../packages/kms-node/src/serve/pipeline.fixture.ts'
import type { Dice } from '../model/dice.ts'
import { mutate } from './mutate.ts'
import { mutateJson } from './mutate-json.ts'

const [owners, grants] = [policyOf({ rule: 'owner' }), grantPolicy()]
const policyFor = (item: RequestItem): Policy => (item.version === 2 ? owners : grants)
/** Both versions of envelopes under one key, which no policy file gives. */
const bothVersions: Policy = {
  edition: 0,
  decide: (key, input) => policyFor(input.item).decide(key, input),
  explain: (key, input) => policyFor(input.item).explain(key, input),
}
const ANSWER_TIMEOUT_MS = 20_000
const PATHS = [
  '/v1/delegate',
  '/v1/delegate?dryRun=true',
  '/health',
  '/ready',
  '/v1/status',
  '/v1/cluster',
  '/v1/keys',
  '/',
]
const METHODS = [
  'POST',
  'POST',
  'POST',
  'GET',
  'GET',
  'PUT',
  'OPTIONS',
  'HEAD',
  'DELETE',
  'TRACE',
  'post',
  'G\u0001T',
  '',
]
const HEADERS: readonly string[] = [
  'content-type: text/plain',
  'content-type: application/json; charset=utf-16',
  'content-type: ',
  'content-length: -1',
  'content-length: 99999999999999999999',
  'content-length: 3',
  'transfer-encoding: chunked',
  'transfer-encoding: gzip, chunked',
  'expect: 100-continue',
  'authorization: Bearer \u00ff',
  `authorization: Bearer ${'a'.repeat(4_000)}`,
  'origin: null',
  'origin: https://evil.example',
  'access-control-request-method: POST',
  'host: a\r\nhost: b',
  'connection: upgrade\r\nupgrade: h2c',
  `x: ${'y'.repeat(17_000)}`,
  ' folded: value',
  'no colon',
  'cookie: \u0000',
]

/** What came back over one connection: the status of the first answer, or nothing when the server hung up. */
export type HttpOutcome = { readonly status: number | undefined; readonly text: string }

export interface HttpFuzzTarget {
  run(dice: Dice): Promise<HttpOutcome>
  /** Failures that the server itself reported. */
  readonly internalErrors: readonly unknown[]
  stop(): Promise<void>
}

/** A real HTTP server on loopback over a real pipeline with one share; requests are written byte by byte, valid or not. */
export async function startHttpTarget(others: readonly Uint8Array[]): Promise<HttpFuzzTarget> {
  const internalErrors: unknown[] = []
  const limits = { maxRequestsInFlight: 64, maxRequestsQueued: 1024, replayEntries: 1_000_000, rsaKeyCacheEntries: 16 }
  const { pipeline, dryRun, events } = createTestPipeline({
    policy: bothVersions,
    limits,
    onEvent: (event) => {
      if (event.outcome === 'internal') internalErrors.push(event.cause)
    },
  })
  const options = serverOptions({
    pipeline,
    dryRun,
    corsOrigins: ['https://app.example'],
    limits: { requestsPerSecond: 1e6, requestBurst: 1e6, maxHttpConnections: 256, httpRequestTimeoutMs: 1_000 },
    onError: (cause) => internalErrors.push(cause),
  })
  const server = createHttpServer(options)
  await server.start()
  const port = Number(new URL(server.url).port)
  const seeds = [
    requestOf(),
    requestOf({ items: [grantedItem()] }),
    requestOf({ items: [grantedItem(), grantedItem()] }),
  ]
  const authorizations = seeds.map((request) => authorize(request))
  const payloads = authorizations.map(({ payload }) => payload)

  const body = (dice: Dice): string => {
    // Signed after the change: what is wrong is found behind the signature.
    if (dice.chance(0.5)) return JSON.stringify(formatAuthorization(authorizeBytes(mutate(dice, payloads, others))))
    return mutateJson(dice, JSON.stringify(formatAuthorization(dice.pick(authorizations))))
  }
  const message = (dice: Dice): Buffer => {
    const content = Buffer.from(body(dice))
    const plain = dice.chance(0.5)
    const method = plain ? 'POST' : dice.pick(METHODS)
    const path = plain ? '/v1/delegate' : `${dice.pick(PATHS)}${dice.chance(0.3) ? path0(dice) : ''}`
    const extra = plain ? [] : dice.sample(HEADERS, dice.below(3))
    const head = [
      `${method} ${path} HTTP/1.${dice.chance(0.95) ? 1 : dice.below(10)}`,
      'host: localhost',
      'content-type: application/json',
      `content-length: ${content.length}`,
      'connection: close',
      ...extra,
    ]
    const whole = Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), content])
    return plain || dice.chance(0.8) ? whole : Buffer.from(mutate(dice, [whole], others))
  }

  return {
    internalErrors,
    async run(dice) {
      const socket = connect(port, '127.0.0.1')
      socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy(new Error('no answer')))
      const chunks: Buffer[] = []
      socket.on('data', (chunk: Buffer) => chunks.push(chunk))
      const broken = once(socket, 'error').then(([error]: unknown[]) => error)
      const closed = new Promise<void>((resolve) => void socket.once('close', () => resolve()))
      await Promise.race([once(socket, 'connect'), broken])
      // Ended: a body that is shorter than it says is not waited for.
      socket.end(message(dice))
      await closed
      const text = Buffer.concat(chunks).toString('latin1')
      const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]
      events.length = 0
      return { status: status === undefined ? undefined : Number(status), text }
    },
    stop: () => server.stop(),
  }
}

const path0 = (dice: Dice): string =>
  dice.pick([
    '/',
    '//',
    '/..',
    '/%00',
    '/%zz',
    `/${'0'.repeat(64)}`,
    `/0x${'ab'.repeat(32)}/certificates?above=1e9`,
    `/${'a'.repeat(9_000)}`,
    '?a=%',
    '#',
    '\u00e9',
  ])
