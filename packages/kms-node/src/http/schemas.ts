import {
  type AnswerJson,
  type AuthorizationJson,
  type formatCluster,
  MAX_BOX_BYTES,
  MAX_CERTIFICATE_BYTES,
  MAX_PUBLIC_KEY_ID_BYTES,
  MAX_REQUEST_BYTES,
  MAX_SIGNATURE_BYTES,
  PUBLIC_KEY_ID,
  REFUSAL_CODES,
} from '@tkms/dkg'
import { z } from 'zod'
import { MAX_QUOTE_BYTES } from '../attest/quote-bytes.ts'
import type { AttestationReport } from '../attest/report.ts'
import type { KeyDescription, SharingDescription } from '../keys/describe-key.ts'
import type { ChainPage } from '../keys/key-directory.ts'
import type { NodeStatus } from '../ops/status.ts'
import type { ItemReport, RequestReport, RuleReport } from '../serve/dry-run.ts'
import { attestationPosture } from './attestation-posture.ts'
import type { ErrorBody } from './errors.ts'

/** What the HTTP API takes and answers. Requests are validated by these, and `openapi.ts` describes them by the same. */

const hex = (minBytes: number, maxBytes: number, of: string): z.ZodString =>
  z
    .string()
    .max(2 + 2 * maxBytes)
    .regex(minBytes === 0 ? /^0x(?:[0-9a-f]{2})*$/ : /^0x(?:[0-9a-f]{2})+$/)
    .describe(of)
const hex32 = (of: string): z.ZodString =>
  z
    .string()
    .regex(/^0x[0-9a-f]{64}$/)
    .describe(of)
const point = (of: string): z.ZodString =>
  z
    .string()
    .regex(/^0x0[23][0-9a-f]{64}$/)
    .describe(of)
const u32 = z.int().min(0).max(0xffffffff)
const index = z.int().min(1).max(0xffff)
const unixSeconds = z.int().min(0)
const certificate = hex(1, MAX_CERTIFICATE_BYTES, 'a certificate, as in the cluster file')

/** Of an error, or another fixed word. */
const CODE = /^[a-z]+(?:-[a-z]+)*$/

// Requests

/** The body of `POST /v1/delegate`. */
export const authorizationSchema: z.ZodType<AuthorizationJson> = z
  .strictObject({
    payload: hex(1, MAX_REQUEST_BYTES, 'REQ, byte for byte what is signed'),
    signature: hex(0, MAX_SIGNATURE_BYTES, 'over REQ; empty where publicKeyId is "none"'),
    publicKeyId: z.string().max(MAX_PUBLIC_KEY_ID_BYTES).regex(PUBLIC_KEY_ID).describe('who signs'),
  })
  .describe('A signed request for decryption.')

/** `{keyId}` in a path. */
export const keyIdSchema: z.ZodType<string> = z
  .string()
  .regex(/^(?:0x)?[0-9a-f]{64}$/)
  .describe('64 hex digits, with or without 0x')

/** `?above=`. */
export const aboveSchema: z.ZodType<string> = z
  .string()
  .regex(/^[0-9]{1,10}$/)
  .describe('an epoch: only certificates of later ones are wanted')

/** `?dryRun=`. Nobody should get an answer who wanted none: there is no other word for it. */
export const dryRunSchema: z.ZodType<string> = z
  .enum(['true', 'false'])
  .describe('true: say what would be answered and why, and answer nothing')

/** `?nonce=`. */
export const nonceSchema: z.ZodType<string> = z
  .string()
  .regex(/^0x[0-9a-f]{64}$/)
  .describe('32 bytes as 0x and hex, which nobody can have known before: the signature of the answer covers them')

/** `?nonce=` of a quote. */
export const quoteNonceSchema: z.ZodType<string> = z
  .string()
  .regex(/^0x[0-9a-f]{64}$/)
  .describe('needed: 32 fresh random bytes as 0x and hex, which the quote binds')

// Answers

const health = z.strictObject({ status: z.literal('ok') }).describe('The process runs.')
const ready = z.strictObject({ status: z.literal('ready') }).describe('The node serves at least one key.')

const metrics = z.string().describe('Prometheus text format 0.0.4.')

const sharing: z.ZodType<SharingDescription> = z
  .strictObject({
    sharingId: hex32('the id of the sharing'),
    epoch: u32,
    attempt: u32,
    state: z.enum(['active', 'awaiting-repair', 'not-a-member', 'retiring', 'superseded', 'erased']),
    serving: z.boolean().describe('whether this node answers requests under it'),
    since: unixSeconds.describe('when this node first saw its certificate; 0 = not known'),
    eraseInSeconds: z.int().exactOptional().describe('while it retires'),
    erasedAt: unixSeconds.exactOptional(),
    notErased: z.array(index).exactOptional().describe('members that have not said yet that they erased their share'),
    damaged: z.literal(true).exactOptional(),
  })
  .describe('One sharing of a key.')

const key: z.ZodType<KeyDescription> = z
  .strictObject({
    keyId: hex32('the id of the key'),
    keyName: z.string(),
    purpose: z.string(),
    generation: u32,
    epoch: u32,
    attempt: u32,
    sharingId: hex32('the latest sharing'),
    threshold: index,
    publicKey: point('compressed'),
    index: index.exactOptional().describe("this node's, absent when it is not in the committee"),
    serving: z.boolean(),
    role: z.enum(['active', 'decrypt-only', 'retiring', 'awaiting-repair', 'not-a-member', 'destroyed']),
    certificate,
    advice: z.string().exactOptional(),
    destroyedAt: unixSeconds.exactOptional(),
    sharings: z.array(sharing).describe('the latest first'),
  })
  .describe('A key with its latest certificate.')

const chainPage: z.ZodType<ChainPage> = z
  .strictObject({
    keyId: hex32('the id of the key'),
    latest: z.strictObject({ epoch: u32, attempt: u32 }).describe('ask again above the last epoch until it is there'),
    certificates: z.array(certificate).max(64).describe('by epoch, then attempt'),
  })
  .describe("A stretch of a key's chain of certificates.")

const status: z.ZodType<NodeStatus> = z
  .strictObject({
    version: z.string(),
    codeHash: hex32('of the programs that run, see `npm run release:manifest`').exactOptional(),
    nativeHash: hex32('of the binary of libsecp256k1 that runs').exactOptional(),
    runtime: z.string().describe('of Node.js'),
    clusterId: hex32('the id of the cluster'),
    ed25519: hex32('the identity of the node, which signs this answer'),
    name: z.string(),
    profile: z.string(),
    uptimeSeconds: z.int().min(0),
    time: unixSeconds,
    sealing: z.string(),
    curve: z.enum(['libsecp256k1', 'noble', 'test-group']),
    attestation: attestationPosture,
    requestsUnderWay: z.int().min(0),
    audit: z
      .strictObject({ recording: z.boolean(), problem: z.string().regex(CODE).exactOptional() })
      .describe('whether releases can be recorded: nothing is released otherwise'),
    certificatesHash: hex32('of the latest certificate of each of the keys, as a proof binds it'),
    keys: z.array(key),
  })
  .describe('What everybody may know of the node.')

const attestation: z.ZodType<AttestationReport> = z
  .strictObject({
    provider: z.enum(['simulated', 'tdx', 'dstack']),
    clusterId: hex32('the id of the cluster'),
    ed25519: hex32('the identity of the node, which signs this answer'),
    certificatesHash: hex32('of the latest certificate of each key that /v1/status lists'),
    nonce: hex32('as given'),
    quote: hex(1, MAX_QUOTE_BYTES, 'as the platform signed it; its report data binds all of the above'),
  })
  .describe('A proof of what runs on the node.')

const cluster: z.ZodType<ReturnType<typeof formatCluster>> = z
  .strictObject({
    version: z.literal(1),
    clusterId: hex32('the id of the cluster'),
    threshold: index.describe('of the genesis committee'),
    genesis: z
      .array(z.strictObject({ index, ed25519: hex32('identity') }))
      .exactOptional()
      .describe('the genesis committee, where it is not exactly the nodes'),
    nodes: z.array(
      z.strictObject({
        index,
        name: z.string(),
        ed25519: hex32('identity'),
        multiaddrs: z.array(z.string()),
        url: z.string(),
        tlsSpkiSha256: hex32('SHA-256 of the TLS key').exactOptional(),
        revision: u32.exactOptional(),
      }),
    ),
    certificates: z.array(certificate),
  })
  .describe('The cluster file.')

const answer: z.ZodType<AnswerJson> = z
  .strictObject({
    index,
    sharingId: hex32('the sharing that was used'),
    requestId: hex32('of the request'),
    box: hex(1, MAX_BOX_BYTES, "for the requester's RSA key"),
    signature: z
      .string()
      .regex(/^0x[0-9a-f]{128}$/)
      .describe("the node's Ed25519 signature"),
  })
  .describe('A partial decryption that only the requester can open.')

const word = z.string().regex(/^[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*$/)
const says = z.enum(['yes', 'no'])
const rule: z.ZodType<RuleReport> = z
  .lazy(() =>
    z.union([
      z.strictObject({ rule: word, says: z.literal('yes') }),
      z.strictObject({ rule: word, says: z.literal('no'), reason: word, undecided: z.literal(true).exactOptional() }),
      z.strictObject({ any: z.array(rule), says }),
      z.strictObject({ all: z.array(rule), says }),
    ]),
  )
  .describe('What a rule, or rules put together, said.')
const item: z.ZodType<ItemReport> = z.strictObject({
  allowed: z.boolean(),
  code: z.enum(REFUSAL_CODES).exactOptional().describe('what this item would be refused with'),
  headerProof: z.enum(['valid', 'invalid']).exactOptional().describe('of a v2 item'),
  rules: rule.exactOptional().describe('absent when the policy has no rules for the key'),
})
const explanation: z.ZodType<RequestReport> = z
  .strictObject({
    keyName: z.string(),
    requester: z.string().regex(PUBLIC_KEY_ID).describe('whom the rules saw'),
    allowed: z.boolean().describe('every item would be answered'),
    rsaKey: word.describe('"accepted", or what is wrong with it'),
    items: z.array(item),
  })
  .describe('With dryRun=true: what would be answered, and why.')

const error: z.ZodType<ErrorBody> = z
  .strictObject({
    error: z.strictObject({
      code: z.string().regex(CODE),
      message: z.string().describe('a fixed sentence for people'),
      requestId: z
        .string()
        .regex(/^0x[0-9a-f]{32}$/)
        .describe('also in the header x-request-id and in the log of the node'),
      retryable: z.boolean().describe('whether the same request may succeed later'),
      details: z.strictObject({
        skewSeconds: z.int().exactOptional().describe("with clock-skew: this node's clock is ahead (negative: behind)"),
        problems: z.array(z.string().regex(CODE)).exactOptional().describe('with not-ready'),
      }),
    }),
  })
  .describe('Why there is no other answer.')

const openapi = z.looseObject({ openapi: z.string() }).describe('This document.')

/** Every schema that the document names, under its name there. */
export const SCHEMAS: {
  readonly [Name in
    | 'Authorization'
    | 'Health'
    | 'Ready'
    | 'Metrics'
    | 'Status'
    | 'Attestation'
    | 'Cluster'
    | 'Key'
    | 'Sharing'
    | 'CertificateChain'
    | 'Answer'
    | 'Rule'
    | 'Explanation'
    | 'Error'
    | 'OpenApi']: z.ZodType
} = {
  Authorization: authorizationSchema,
  Health: health,
  Ready: ready,
  Metrics: metrics,
  Status: status,
  Attestation: attestation,
  Cluster: cluster,
  Key: key,
  Sharing: sharing,
  CertificateChain: chainPage,
  Answer: answer,
  Rule: rule,
  Explanation: explanation,
  Error: error,
  OpenApi: openapi,
}

export type SchemaName = keyof typeof SCHEMAS
