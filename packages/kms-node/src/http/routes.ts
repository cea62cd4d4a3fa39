import type { IncomingMessage } from 'node:http'
import { type Cluster, formatAnswer, formatCluster, type KeyId } from '@tkms/dkg'
import { hexToBytes } from '@noble/hashes/utils.js'
import type { Report } from '../attest/report.ts'
import type { Readiness } from '../ops/readiness.ts'
import type { KeyDirectory } from '../keys/key-directory.ts'
import { readBearerToken } from '../serve/bearer-token.ts'
import type { DryRun } from '../serve/dry-run.ts'
import type { DelegationPipeline } from '../serve/pipeline.ts'
import { createJsonBodyReader } from './body.ts'
import type { ErrorDetails, HttpErrorCode } from './errors.ts'
import { openApiDocument } from './openapi.ts'
import { METRICS_CONTENT_TYPE, type Operation, type OperationId, OPERATIONS } from './operations.ts'
import { tokensOf } from './rate-limit.ts'
import { authorizationSchema } from './schemas.ts'

/** What a handler says; the server writes it. */
export type Reply =
  | {
      readonly kind: 'ok'
      readonly body: unknown
      /** By the node's identity, together with what it answers. */
      readonly signed?: true
    }
  | { readonly kind: 'text'; readonly text: string; readonly contentType: string }
  | {
      readonly kind: 'error'
      readonly code: HttpErrorCode
      readonly details?: ErrorDetails
      /** With `rate-limited`. */
      readonly retryAfterSeconds?: number
    }

const ok = (body: unknown): Reply => ({ kind: 'ok', body })
const failed = (code: HttpErrorCode, details?: ErrorDetails): Reply =>
  details === undefined ? { kind: 'error', code } : { kind: 'error', code, details }

export interface RouteCall {
  readonly request: IncomingMessage
  /** Those of the path and of the query, as the operation's schemas admit them. */
  readonly parameters: Readonly<Record<string, string>>
  readonly remote: string
  /** Takes further tokens of the caller for a request that costs more than one. @returns the refusal where they are missing */
  readonly charge: (tokens: number) => Promise<Reply | undefined>
  readonly signal: AbortSignal
}

type Handler = (call: RouteCall) => Promise<Reply> | Reply

/** An operation and what does it. */
export interface Route {
  readonly id: OperationId
  readonly operation: Operation
  readonly handle: Handler
}

export interface RoutePorts {
  readonly pipeline: DelegationPipeline
  readonly dryRun: DryRun
  readonly keys: KeyDirectory
  readonly cluster: () => Cluster
  /** Public posture, ready for JSON. */
  readonly status: () => Promise<object> | object
  readonly attestation: Report
  readonly readiness: Pick<Readiness, 'problems'>
  /** Prometheus text format. */
  readonly metrics: () => Promise<string>
}

/** A handler for every operation: there is no other way to be routed. */
export function createRoutes(ports: RoutePorts): readonly Route[] {
  const document = openApiDocument()
  const readJsonBody = createJsonBodyReader()
  const handlers: Readonly<Record<OperationId, Handler>> = {
    health: () => ok({ status: 'ok' }),
    ready: async () => {
      const problems = await ports.readiness.problems()
      return problems.length === 0 ? ok({ status: 'ready' }) : failed('not-ready', { problems })
    },
    status: async () => ({ kind: 'ok', body: await ports.status(), signed: true }),
    attestation: async ({ parameters, signal }) => {
      const { nonce } = parameters
      if (nonce === undefined) return failed('malformed')
      const report = await ports.attestation(bytesOf(nonce), signal)
      return typeof report === 'string' ? failed(report) : { kind: 'ok', body: report, signed: true }
    },
    metrics: async () => ({ kind: 'text', text: await ports.metrics(), contentType: METRICS_CONTENT_TYPE }),
    cluster: () => ok(formatCluster(ports.cluster())),
    key: ({ parameters }) => {
      const key = ports.keys.get(keyIdOf(parameters))
      return key === undefined ? failed('unknown-key') : ok(key)
    },
    certificates: ({ parameters }) => {
      const above = parameters['above']
      const page = ports.keys.chain(keyIdOf(parameters), above === undefined ? undefined : Number(above))
      return page === undefined ? failed('unknown-key') : ok(page)
    },
    delegate: (call) => delegate({ ...ports, readJsonBody }, call),
    openapi: () => ok(document),
  }
  return Object.entries<Operation>(OPERATIONS).map(([id, operation]) => ({
    id: id as OperationId,
    operation,
    handle: handlers[id as OperationId],
  }))
}

const keyIdOf = (parameters: RouteCall['parameters']): KeyId =>
  hexToBytes((parameters['keyId'] ?? '').replace(/^0x/, '')) as KeyId

async function delegate(
  {
    pipeline,
    dryRun,
    readJsonBody,
  }: Pick<RoutePorts, 'pipeline' | 'dryRun'> & { readonly readJsonBody: ReturnType<typeof createJsonBodyReader> },
  { request, parameters, remote, charge, signal }: RouteCall,
): Promise<Reply> {
  const token = readBearerToken(request.headers.authorization)
  if (token === 'malformed') return failed('malformed')
  const body = await readJsonBody(request, remote)
  if (body.kind === 'refused') return failed(body.code)
  const parsed = authorizationSchema.safeParse(body.value)
  if (!parsed.success) return failed('malformed')
  const { payload, signature, publicKeyId } = parsed.data
  const authorization = { payload: bytesOf(payload), signature: bytesOf(signature), publicKeyId }
  const refusal = await charge(tokensOf(authorization.payload) - 1)
  if (refusal !== undefined) return refusal
  const call = { remote, address: remote, ...token, signal }
  const dry = parameters['dryRun'] === 'true'
  const result = dry ? await dryRun.explain(authorization, call) : await pipeline.handle(authorization, call)
  if (result.kind === 'report') return ok(result.report)
  if (result.kind === 'answer') return ok(formatAnswer(result.answer))
  return failed(result.code, result.skewSeconds === undefined ? undefined : { skewSeconds: result.skewSeconds })
}

const bytesOf = (hex: string): Uint8Array => hexToBytes(hex.slice(2))
