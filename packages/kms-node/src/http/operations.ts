import type { z } from 'zod'
import type { HttpErrorCode } from './errors.ts'
import { aboveSchema, dryRunSchema, keyIdSchema, nonceSchema, quoteNonceSchema, type SchemaName } from './schemas.ts'

/** One operation of the HTTP API: what routes a call, checks its parameters and describes it in the OpenAPI document. */
export interface Operation {
  readonly method: 'GET' | 'POST'
  /** With `{name}` for a part that a parameter stands for. */
  readonly path: string
  readonly summary: string
  /** Counts against the caller's rate limit. */
  readonly limited: boolean
  /** One per `{name}` of the path. */
  readonly pathParameters: Readonly<Record<string, z.ZodType<string>>>
  /** Each may be left out; what else stands behind the `?` is ignored. */
  readonly queryParameters: Readonly<Record<string, z.ZodType<string>>>
  readonly body?: SchemaName
  /** Takes a bearer token for the node's policy. */
  readonly bearer?: true
  /** One of them. */
  readonly answers: readonly SchemaName[]
  /** Of its answers; JSON without it. Errors are JSON always. */
  readonly contentType?: string
  /** What its handler may refuse with; `errorsOf` adds what the server refuses. */
  readonly errors: readonly HttpErrorCode[]
}

export type OperationId =
  | 'health'
  | 'ready'
  | 'metrics'
  | 'status'
  | 'attestation'
  | 'cluster'
  | 'key'
  | 'certificates'
  | 'delegate'
  | 'openapi'

const get = (path: string, summary: string, answer: SchemaName): Operation => ({
  method: 'GET',
  path,
  summary,
  limited: true,
  pathParameters: {},
  queryParameters: {},
  answers: [answer],
  errors: ['internal'],
})

/** Of Prometheus' text format. */
export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** The HTTP API (interfaces 6). */
export const OPERATIONS: Readonly<Record<OperationId, Operation>> = {
  health: { ...get('/health', 'Whether the process runs.', 'Health'), limited: false, errors: [] },
  ready: {
    ...get('/ready', 'Whether the node serves a key and can write to its disk.', 'Ready'),
    limited: false,
    errors: ['not-ready', 'internal'],
  },
  status: {
    ...get('/v1/status', 'What everybody may know of the node, signed by its identity (RFC 9421).', 'Status'),
    queryParameters: { nonce: nonceSchema },
    errors: ['malformed', 'internal'],
  },
  attestation: {
    ...get('/v1/attestation', 'A quote of what runs on the node, for a nonce of the caller.', 'Attestation'),
    queryParameters: { nonce: quoteNonceSchema },
    errors: ['malformed', 'busy', 'no-attestation', 'attestation-unavailable', 'internal'],
  },
  metrics: {
    ...get('/metrics', 'Numbers about the node, for Prometheus.', 'Metrics'),
    contentType: METRICS_CONTENT_TYPE,
  },
  cluster: get('/v1/cluster', 'The cluster file as this node knows it. Compare its config hash with a pin.', 'Cluster'),
  key: {
    ...get('/v1/keys/{keyId}', 'A key with its latest certificate.', 'Key'),
    pathParameters: { keyId: keyIdSchema },
    errors: ['malformed', 'unknown-key', 'internal'],
  },
  certificates: {
    ...get('/v1/keys/{keyId}/certificates', "A key's chain of certificates.", 'CertificateChain'),
    pathParameters: { keyId: keyIdSchema },
    queryParameters: { above: aboveSchema },
    errors: ['malformed', 'unknown-key', 'internal'],
  },
  delegate: {
    ...get('/v1/delegate', 'Asks for a partial decryption.', 'Answer'),
    method: 'POST',
    queryParameters: { dryRun: dryRunSchema },
    answers: ['Answer', 'Explanation'],
    body: 'Authorization',
    bearer: true,
    errors: [
      'malformed',
      'bad-point',
      'clock-skew',
      'weak-rsa-key',
      'bad-header-proof',
      'bad-signature',
      'bad-session',
      'not-allowed',
      'wrong-purpose',
      'wrong-cluster',
      'unknown-key',
      'timeout',
      'wrong-sharing',
      'superseded',
      'replayed',
      'destroyed',
      'too-large',
      'unsupported-media-type',
      'busy',
      'no-share',
      'cancelled',
      'audit-unavailable',
      'policy-unavailable',
      'not-ready',
      'internal',
    ],
  },
  openapi: get('/openapi.json', 'This document.', 'OpenApi'),
}

/** Every code that a call of the operation can be refused with. */
export const errorsOf = ({ limited, errors }: Operation): readonly HttpErrorCode[] => [
  ...errors,
  ...(limited ? (['rate-limited'] as const) : []),
]
