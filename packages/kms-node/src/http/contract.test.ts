import { Validator } from '@seriousme/openapi-schema-validator'
import { bytesToHex } from '@noble/hashes/utils.js'
import {
  anyOf,
  encodePolicy,
  formatAuthorization,
  KmsError,
  nobleCurve,
  REFUSAL_CODES,
  type RefusalCode,
} from '@tkms/dkg'
import { afterAll, describe, expect, it } from 'vitest'
import type { KeyDescription } from '../keys/describe-key.ts'
import { createStatus } from '../ops/status.ts'
import {
  alice,
  authorize,
  clock,
  clusterId,
  createTestPipeline,
  groupKey,
  index,
  itemFor,
  keyId,
  requestOf,
  nodeSigner,
  sharingId,
  verifiedKey,
} from '../serve/pipeline.fixture.ts'
import type { DelegationPipeline } from '../serve/pipeline.ts'
import { MAX_BODY_BYTES } from './body.ts'
import { type Contract, contractOf, jsonOf, type OpenApiDocument, raw, reportOf } from './contract.fixture.ts'
import { HTTP_ERRORS } from './errors.ts'
import { openApiDocument } from './openapi.ts'
import type { OperationId } from './operations.ts'
import { createRoutes } from './routes.ts'
import { serverOptions } from './server.fixture.ts'
import { createHttpServer, type HttpServer, type HttpServerOptions } from './server.ts'

/** Put where a careless node would repeat it. */
const CANARY = 'another party said this'
const KEY = `0x${bytesToHex(keyId)}`
const { pipeline, dryRun } = createTestPipeline()
const served = verifiedKey()
const sharing = { sharingId: `0x${bytesToHex(sharingId)}`, epoch: 3, attempt: 0 }
const description: KeyDescription = {
  keyId: KEY,
  keyName: served.keyName,
  purpose: served.purpose,
  generation: 1,
  ...sharing,
  threshold: 2,
  publicKey: `0x${bytesToHex(groupKey)}`,
  index,
  serving: true,
  role: 'active',
  certificate: '0x01',
  sharings: [
    { ...sharing, state: 'active', serving: true, since: 1 },
    { ...sharing, epoch: 2, state: 'erased', serving: false, since: 1, erasedAt: 2, notErased: [1], damaged: true },
  ],
}
const keys: HttpServerOptions['keys'] = {
  list: () => [description],
  get: (id) => (bytesToHex(id) === bytesToHex(keyId) ? description : undefined),
  chain: (id) =>
    bytesToHex(id) === bytesToHex(keyId)
      ? { keyId: KEY, latest: { epoch: 3, attempt: 0 }, certificates: ['0x01'] }
      : undefined,
  problem: () => undefined,
}
const register = 'ab'.repeat(48)
const measurement = { tee: 'tdx', mrTd: register, rtmrs: [register, register, register, register] } as const
const node = { url: 'http://127.0.0.1:1', multiaddrs: ['/ip4/127.0.0.1/tcp/1'] }
const nodes = served.config.members.map((member) => ({ ...member, ...node, name: `node-${member.index}`, revision: 1 }))
const ports = serverOptions({
  attestation: async () => reportOf(clusterId, nodeSigner.publicKey),
  pipeline,
  dryRun,
  keys,
  cluster: () => ({ config: served.config, configHash: new Uint8Array(32), nodes, certificates: [Uint8Array.of(1)] }),
  status: createStatus({
    version: '1',
    code: { code: new Uint8Array(32).fill(1), native: new Uint8Array(32).fill(2) },
    clusterId,
    publicKey: nodeSigner.publicKey,
    name: 'alice',
    profile: 'production',
    sealing: 'passphrase',
    curve: nobleCurve,
    keys,
    pipeline,
    audit: { problem: () => 'disk-full' },
    attestation: () => ({ provider: 'tdx', measurement, allowedAs: '1.0', expiresMs: 1_999, refused: 'expired' }),
    clock,
  }),
  limits: { requestsPerSecond: 1, requestBurst: 1000, maxHttpConnections: 64, httpRequestTimeoutMs: 400 },
  onError: () => undefined,
})

const running: HttpServer[] = []
afterAll(async () => {
  await Promise.all(running.map((server) => server.stop()))
})

async function serve(overrides: Partial<HttpServerOptions> = {}): Promise<string> {
  const server = createHttpServer({ ...ports, port: 0, ...overrides })
  running.push(server)
  await server.start()
  return server.url
}

const document = openApiDocument() as unknown as OpenApiDocument
const contract: Contract = contractOf(document)
/** Outcomes that were seen and are what the document says. */
const seen = new Set<string>()

interface Driven {
  readonly parameters?: Readonly<Record<string, string>>
  readonly query?: string
  readonly init?: RequestInit
}

/** Calls an operation and judges what comes. @returns "403 not-allowed", or "200" */
async function drive(
  url: string,
  operationId: OperationId,
  { parameters, query = '', init }: Driven = {},
): Promise<string> {
  const operation = contract.operations.get(operationId)
  if (operation === undefined) throw new Error(`${operationId} is not documented`)
  const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => parameters?.[name] ?? KEY)
  const response = await fetch(`${url}${path}${query}`, { method: operation.method.toUpperCase(), ...init })
  return judge(operationId, response.status, await jsonOf(response), response.headers.get('x-request-id'))
}

function judge(operationId: OperationId, status: number, text: string, requestId: string | null): string {
  const body = JSON.parse(text) as { error?: { code: string; requestId: string } }
  expect({ operationId, status, problems: contract.problems(operationId, status, body) }).toMatchObject({
    problems: [],
  })
  expect(text).not.toContain(CANARY)
  if (body.error !== undefined) expect(body.error.requestId).toBe(requestId)
  const outcome = [status, ...(body.error === undefined ? [] : [body.error.code])].join(' ')
  seen.add(`${operationId} ${outcome}`)
  return outcome
}

const json = { 'content-type': 'application/json' }
const asking = (authorization = authorize(requestOf())): Driven => ({
  init: { headers: json, body: JSON.stringify(formatAuthorization(authorization)) },
})
const sending = (body: string, headers: Record<string, string> = json): Driven => ({ init: { headers, body } })
const nonce = `?nonce=0x${'0f'.repeat(32)}`
const goodCall = (id: OperationId): Driven =>
  id === 'delegate' ? asking() : id === 'attestation' ? { query: nonce } : {}
const all = [...contract.operations.keys()]
const limited = all.filter((id) => id !== 'health' && id !== 'ready')

describe('the OpenAPI document', () => {
  it('is one', async () => {
    const result = await new Validator().validate(structuredClone(openApiDocument()))
    expect(result).toMatchObject({ valid: true })
  })

  it('is served, and names every route of the server and no other', async () => {
    const url = await serve()
    expect(await (await fetch(`${url}/openapi.json`)).json()).toEqual(openApiDocument())
    const routes = createRoutes(ports).map(({ operation: { method, path } }) => `${method.toLowerCase()} ${path}`)
    const documented = [...contract.operations.values()].map(({ method, path }) => `${method} ${path}`)
    expect(routes.toSorted()).toEqual(documented.toSorted())
    const guesses = ['/', '/metrics', '/docs', '/v1', '/v1/keys', '/v1/derive', '/v1/delegate/x', '/v1/attestation']
    const others = guesses.filter((path) => !documented.includes(`get ${path}`))
    for (const path of others) expect([path, (await fetch(`${url}${path}`)).status]).toEqual([path, 404])
    for (const { method, path } of contract.operations.values()) {
      const other = method === 'get' ? 'DELETE' : 'PUT'
      const response = await fetch(`${url}${path.replaceAll(/\{\w+\}/g, KEY)}`, { method: other })
      const body: unknown = await response.json()
      expect([response.status, contract.problemsOf('Error', body)]).toEqual([405, []])
      expect(body).toMatchObject({ error: { code: 'method-not-allowed' } })
    }
  })

  it('tells of every refusal of a request', () => {
    for (const code of REFUSAL_CODES)
      expect(contract.outcomes).toContain(`delegate ${HTTP_ERRORS[code].status} ${code}`)
  })
})

describe('every answer is as documented', () => {
  it('when all is well', async () => {
    const url = await serve()
    for (const id of all) expect(await drive(url, id, goodCall(id))).toBe('200')
    expect(await drive(url, 'certificates', { query: '?above=2' })).toBe('200')
    expect(await drive(url, 'key', { parameters: { keyId: KEY.slice(2) } })).toBe('200')
    expect(await drive(url, 'delegate', { ...asking(), query: '?dryRun=true' })).toBe('200')
    const foreign = asking(
      authorize(requestOf({ items: [itemFor(encodePolicy(anyOf([{ kind: 'ed25519', key: new Uint8Array(32) }])))] })),
    )
    expect(await drive(url, 'delegate', { ...foreign, query: '?dryRun=true' })).toBe('200')
  })

  it('when a parameter is wrong, or there is no such key', async () => {
    const url = await serve()
    for (const id of ['key', 'certificates'] as const) {
      expect(await drive(url, id, { parameters: { keyId: '0x00' } })).toBe('400 malformed')
      expect(await drive(url, id, { parameters: { keyId: KEY.toUpperCase() } })).toBe('400 malformed')
      expect(await drive(url, id, { parameters: { keyId: 'ff'.repeat(32) } })).toBe('404 unknown-key')
    }
    expect(await drive(url, 'status', { query: nonce })).toBe('200')
    for (const query of ['', '?nonce=1', `${nonce}00`])
      expect(await drive(url, 'attestation', { query })).toBe('400 malformed')
    expect(await drive(url, 'status', { query: '?nonce=1' })).toBe('400 malformed')
    expect(await drive(url, 'certificates', { query: '?above=1&above=2' })).toBe('400 malformed')
    expect(await drive(url, 'delegate', { ...asking(), query: '?dryRun=1' })).toBe('400 malformed')
    for (const above of ['', '-1', '1e3', '12345678901'])
      expect(await drive(url, 'certificates', { query: `?above=${above}` })).toBe('400 malformed')
  })

  it('when the node is not ready, asked too often, or fails', async () => {
    const notReady = await serve({ readiness: { problems: async () => ['no-key', 'disk-full'] } })
    expect(await drive(notReady, 'ready')).toBe('503 not-ready')
    for (const id of limited) {
      const url = await serve({ limits: { ...ports.limits, requestBurst: 1 } })
      await drive(url, 'status')
      expect(await drive(url, id, goodCall(id))).toBe('429 rate-limited')
    }
    const fail = (): never => {
      throw new KmsError('disk-full', CANARY, { data: { said: CANARY } })
    }
    const failing = await serve({ clock: { nowMs: fail, monotonicMs: fail }, readiness: { problems: fail } })
    for (const id of [...limited, 'ready'] as const) expect(await drive(failing, id)).toBe('500 internal')
  })

  it('when there is no quote', async () => {
    for (const code of ['no-attestation', 'attestation-unavailable', 'busy'] as const) {
      const url = await serve({ attestation: async () => code })
      expect(await drive(url, 'attestation', { query: nonce })).toBe(`503 ${code}`)
    }
  })

  it('when a request is refused', async () => {
    const url = await serve()
    const forged = { ...authorize(requestOf()), signature: new Uint8Array(64) }
    const late = authorize(requestOf({ notBefore: 1_700_000_000, expiresAt: 1_700_000_060 }))
    const policy = encodePolicy(anyOf([{ kind: 'ed25519', key: new Uint8Array(32) }]))
    const again = authorize(requestOf())
    await drive(url, 'delegate', asking(again))
    const cases: readonly (readonly [string, Driven])[] = [
      ['400 malformed', sending('{')],
      ['400 malformed', sending(JSON.stringify({ ...formatAuthorization(again), publicKeyId: CANARY }))],
      ['400 malformed', sending(JSON.stringify({ ...formatAuthorization(again), [CANARY]: CANARY }))],
      ['400 malformed', sending(JSON.stringify(formatAuthorization(again)), { ...json, authorization: 'Bearer' })],
      ['415 unsupported-media-type', sending('{}', { 'content-type': 'text/plain' })],
      ['413 too-large', sending(' '.repeat(MAX_BODY_BYTES + 1))],
      ['401 bad-signature', asking(forged)],
      ['400 clock-skew', asking(late)],
      ['403 not-allowed', asking(authorize(requestOf({ items: [itemFor(policy)] })))],
      ['409 replayed', asking(again)],
    ]
    for (const [outcome, call] of cases) expect(await drive(url, 'delegate', call)).toBe(outcome)
  })

  it('whatever the pipeline refuses with, and whatever it knows beside', async () => {
    for (const code of REFUSAL_CODES) {
      const url = await serve({ pipeline: refusing(code) })
      expect(await drive(url, 'delegate', asking())).toBe(`${HTTP_ERRORS[code].status} ${code}`)
    }
  })

  it('when a caller is too slow, or speaks no HTTP', async () => {
    const url = await serve()
    const head = 'POST /v1/delegate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
    const slow = await raw(url, `${head}Content-Length: 9\r\n\r\n{`)
    expect(judge('delegate', slow.status, slow.body, slow.requestId)).toBe('408 timeout')
    const nonsense = [await raw(url, `${CANARY}\r\n\r\n`), await raw(url, `${head}X: ${'y'.repeat(20_000)}\r\n\r\n`)]
    for (const { body } of nonsense) {
      expect(contract.problemsOf('Error', JSON.parse(body))).toEqual([])
      expect(body).not.toContain(CANARY)
    }
    expect(nonsense.map(({ status }) => status)).toEqual([400, 431])
  })

  it('and nothing is documented that was not seen', () => {
    expect(contract.outcomes.filter((outcome) => !seen.has(outcome))).toEqual([])
  })
})

/** A pipeline that refuses, with more in its hands than it may tell. */
function refusing(code: RefusalCode): DelegationPipeline {
  const result = { kind: 'refusal', code, reason: CANARY, requester: alice.id, cause: CANARY } as const
  return {
    underWay: 0,
    handle: async () => (code === 'clock-skew' ? { ...result, skewSeconds: -90 } : result),
  }
}
