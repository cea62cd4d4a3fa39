import type { IncomingMessage } from 'node:http'
import {
  attempt,
  type Authorization,
  type Cluster,
  formatAnswer,
  formatCluster,
  type KeyId,
  parseAuthorization,
} from '@tkms/dkg'
import { hexToBytes } from '@noble/hashes/utils.js'
import type { Readiness } from '../ops/readiness.ts'
import type { KeyDirectory } from '../keys/key-directory.ts'
import { readBearerToken } from '../serve/bearer-token.ts'
import type { DryRun } from '../serve/dry-run.ts'
import type { DelegationPipeline } from '../serve/pipeline.ts'
import { readJsonBody } from './body.ts'
import type { HttpErrorCode } from './errors.ts'

/** What a handler says; the server writes it. */
export type Reply =
  | { readonly kind: 'ok'; readonly body: unknown }
  | { readonly kind: 'error'; readonly code: HttpErrorCode; readonly details?: Readonly<Record<string, unknown>> }

const ok = (body: unknown): Reply => ({ kind: 'ok', body })
const failed = (code: HttpErrorCode, details?: Readonly<Record<string, unknown>>): Reply =>
  details === undefined ? { kind: 'error', code } : { kind: 'error', code, details }

export interface RouteCall {
  readonly request: IncomingMessage
  /** What the pattern's group matched, or ''. */
  readonly parameter: string
  readonly remote: string
  readonly signal: AbortSignal
}

export interface Route {
  readonly method: 'GET' | 'POST'
  readonly pattern: RegExp
  /** Counts against the caller's rate limit. */
  readonly limited: boolean
  readonly handle: (call: RouteCall) => Promise<Reply> | Reply
}

export interface RoutePorts {
  readonly pipeline: DelegationPipeline
  readonly dryRun: DryRun
  readonly keys: KeyDirectory
  readonly cluster: () => Cluster
  /** Public posture, ready for JSON. */
  readonly status: () => Promise<object> | object
  readonly readiness: Readiness
}

/** The HTTP API (interfaces 6). */
export function createRoutes(ports: RoutePorts): readonly Route[] {
  const get = (pattern: RegExp, limited: boolean, handle: Route['handle']): Route => ({
    method: 'GET',
    pattern,
    limited,
    handle,
  })
  return [
    get(/^\/health$/, false, () => ok({ status: 'ok' })),
    get(/^\/ready$/, false, async () => {
      const problems = await ports.readiness.problems()
      return problems.length === 0 ? ok({ status: 'ready' }) : failed('not-ready', { problems })
    }),
    get(/^\/v1\/status$/, true, async () => ok(await ports.status())),
    get(/^\/v1\/cluster$/, true, () => ok(formatCluster(ports.cluster()))),
    get(/^\/v1\/keys\/(?:0x)?([0-9a-f]{64})$/, true, ({ parameter }) => {
      const key = ports.keys.get(hexToBytes(parameter) as KeyId)
      return key === undefined ? failed('unknown-key') : ok(key)
    }),
    get(/^\/v1\/keys\/(?:0x)?([0-9a-f]{64})\/certificates$/, true, ({ parameter, request }) => {
      const above = aboveOf(request.url ?? '')
      if (above === 'bad') return failed('malformed')
      const page = ports.keys.chain(hexToBytes(parameter) as KeyId, above)
      return page === undefined ? failed('unknown-key') : ok(page)
    }),
    { method: 'POST', pattern: /^\/v1\/delegate$/, limited: true, handle: (call) => delegate(ports, call) },
  ]
}

/** The epoch of `?above=`, at most 10 digits; undefined when there is none. */
function aboveOf(url: string): number | undefined | 'bad' {
  const value = new URLSearchParams(url.split('?')[1] ?? '').get('above')
  if (value === null) return undefined
  return /^[0-9]{1,10}$/.test(value) ? Number(value) : 'bad'
}

/** Whether `?dryRun=true` asks what would happen. Anything but true and false is refused: nobody should get an answer who wanted none. */
function wantsDryRun(url: string): boolean | 'bad' {
  const values = new URLSearchParams(url.split('?')[1] ?? '').getAll('dryRun')
  const [value = 'false'] = values
  if (values.length > 1 || (value !== 'true' && value !== 'false')) return 'bad'
  return value === 'true'
}

async function delegate(
  { pipeline, dryRun }: Pick<RoutePorts, 'pipeline' | 'dryRun'>,
  { request, remote, signal }: RouteCall,
): Promise<Reply> {
  const dry = wantsDryRun(request.url ?? '')
  if (dry === 'bad') return failed('malformed')
  const token = readBearerToken(request.headers.authorization)
  if (token === 'malformed') return failed('malformed')
  const body = await readJsonBody(request)
  if (body.kind === 'refused') return failed(body.code)
  const authorization: Authorization | undefined = attempt(() => parseAuthorization(body.value))
  if (authorization === undefined) return failed('malformed')
  const call = { remote, address: remote, ...token, signal }
  const result = dry ? await dryRun.explain(authorization, call) : await pipeline.handle(authorization, call)
  if (result.kind === 'report') return ok(result.report)
  if (result.kind === 'answer') return ok(formatAnswer(result.answer))
  return failed(result.code, result.skewSeconds === undefined ? undefined : { skewSeconds: result.skewSeconds })
}
