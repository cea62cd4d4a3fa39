import { randomBytes } from 'node:crypto'
import { bytesKey, type Cluster, type ClusterNode, equalBytes, verifyEd25519 } from '@tkms/dkg'
import { z } from 'zod'
import { isKmsError } from '../errors.ts'
import { verifySignatureHeaders } from '../http/message-signature.ts'
import { type CheckedReport, checkReport, provesCertificates } from './check-report.ts'
import { BOUND_BYTES } from './report-data.ts'
import { heldHash } from './report.ts'
import { readable } from './readable.ts'
import { type RefusalReason, refusedQuote } from './verdict.ts'
import type { AttestationVerifier } from './verify-quote.ts'

/** A node may have to wait for its platform. */
const NODE_TIMEOUT_MS = 45_000
const MAX_REPORT_BYTES = 64 * 1024
const MAX_STATUS_BYTES = 16 * 1024 * 1024
const DAY_MS = 86_400_000

/** Why a node is refused: for its quote, or because it does not run what was released. */
export type NodeRefusal = RefusalReason | 'code'

/** What became of asking one node. */
export interface NodeVerdict {
  readonly index: number
  readonly name: string
  readonly url: string
  /** "?" where nothing was learnt. */
  readonly provider: string
  /** What the node says of itself, under its signature; absent where it says nothing. */
  readonly version?: string
  /** 0x and hex, 32 bytes. */
  readonly codeHash?: string
  readonly profile?: string
  readonly sealing?: string
  readonly curve?: string
  readonly keys?: readonly { readonly keyName: string; readonly generation: number; readonly epoch: number }[]
  /** 0x and hex, 32 bytes: of its certificates as they are now. */
  readonly certificatesHash?: string
  readonly verdict: 'accepted' | 'refused'
  /** With `accepted`. */
  readonly measurement?: string
  readonly tcbStatus?: string
  readonly daysLeft?: number
  /** With `refused`. */
  readonly reason?: NodeRefusal
  readonly detail?: string
}

/** The part of the client's exchange that is needed. @throws KmsError `unreachable`, `bad-reply`; the signal's reason */
type Exchange = (request: {
  readonly url: string
  readonly method: 'GET'
  readonly signal: AbortSignal
  readonly maxReplyBytes: number
  readonly tlsSpkiSha256?: Uint8Array
}) => Promise<Reply>

interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: Uint8Array
}

export interface AskingPorts {
  readonly exchange: Exchange
  readonly verifier: AttestationVerifier
  readonly nowMs: () => number
  /** 0x and hex, 32 bytes: what every node must say that it runs; default: anything. */
  readonly codeHash?: string | undefined
  /** 32 fresh bytes; default: of the operating system. */
  readonly nonce?: () => Uint8Array
  readonly timeoutMs?: number
}

/** Nothing that a terminal would obey. */
const word = z.string().regex(/^[ -~]{1,64}$/)
const postureSchema = z.object({
  version: word,
  profile: word,
  sealing: word,
  curve: word,
  codeHash: z
    .string()
    .regex(/^0x[0-9a-f]{64}$/)
    .optional(),
  keys: z
    .array(
      z.object({
        keyId: z.string().regex(/^0x[0-9a-f]{64}$/),
        keyName: word,
        generation: z.int().min(0),
        epoch: z.int().min(0),
        certificate: z.string().regex(/^0x(?:[0-9a-f]{2})+$/),
      }),
    )
    .max(10_000),
})
type Posture = z.infer<typeof postureSchema>

/** Asks every node of a cluster, each with a nonce of its own, and judges what they answer. Never rejects for what they say. */
export const askNodes = (cluster: Cluster, ports: AskingPorts): Promise<readonly NodeVerdict[]> =>
  Promise.all(cluster.nodes.map((node) => askNode(cluster, node, ports)))

interface Question {
  readonly node: ClusterNode
  readonly nonce: Uint8Array
  readonly signal: AbortSignal
  readonly exchange: Exchange
}

async function askNode(cluster: Cluster, node: ClusterNode, ports: AskingPorts): Promise<NodeVerdict> {
  const { nonce = () => randomBytes(BOUND_BYTES), timeoutMs = NODE_TIMEOUT_MS, exchange } = ports
  const question = { node, nonce: nonce(), signal: AbortSignal.timeout(timeoutMs), exchange }
  const [report, posture] = await Promise.all([askReport(ports.verifier, cluster, question), askPosture(question)])
  const { index, name, url } = node
  const said = typeof posture === 'string' ? undefined : posture
  const row = {
    index,
    name,
    url,
    provider: report.provider,
    ...(said && describePosture(said)),
  }
  const verdict = judge(report, posture, ports.codeHash)
  if (verdict.kind === 'refused') return { ...row, verdict: 'refused', reason: verdict.reason, detail: verdict.detail }
  const { measurement, tcbStatus, expiresMs } = verdict
  const daysLeft = Math.floor((expiresMs - ports.nowMs()) / DAY_MS)
  return { ...row, verdict: 'accepted', measurement, tcbStatus, daysLeft }
}

function describePosture({ version, codeHash, profile, sealing, curve, keys }: Posture): Partial<NodeVerdict> {
  return {
    version,
    ...(codeHash !== undefined && { codeHash }),
    profile,
    sealing,
    curve,
    keys: keys.map(({ keyName, generation, epoch }) => ({ keyName, generation, epoch })),
    certificatesHash: `0x${bytesKey(heldHash(keys))}`,
  }
}

type Judged =
  | CheckedReport['verdict']
  | { readonly kind: 'refused'; readonly reason: NodeRefusal; readonly detail: string }

function judge(report: CheckedReport, posture: Posture | string, codeHash: string | undefined): Judged {
  if (report.verdict.kind === 'refused') return report.verdict
  if (typeof posture === 'string') return refusedQuote('signature', posture)
  if (!provesCertificates(report, heldHash(posture.keys)))
    return refusedQuote(
      'report-data',
      'the node goes by other certificates than those it proves; while a key changes, ask again',
    )
  if (codeHash !== undefined && posture.codeHash !== codeHash)
    return { kind: 'refused', reason: 'code', detail: 'the node does not say that it runs what was released' }
  return report.verdict
}

const without = (reason: RefusalReason, detail: string): CheckedReport => ({
  provider: '?',
  certificatesHash: undefined,
  verdict: refusedQuote(reason, detail),
})

async function askReport(verifier: AttestationVerifier, cluster: Cluster, question: Question): Promise<CheckedReport> {
  const { node, nonce, signal } = question
  const answer = await get(question, `/v1/attestation?nonce=0x${bytesKey(nonce)}`, MAX_REPORT_BYTES)
  if (typeof answer === 'string') return without('missing', answer)
  const asked = { clusterId: cluster.config.clusterId, identity: node.publicKey, nonce }
  return checkReport(verifier, answer.body, asked, signal)
}

/** What the node says of itself, signed with its identity for this nonce, or why that is not believed. */
async function askPosture(question: Question): Promise<Posture | string> {
  const target = `/v1/status?nonce=0x${bytesKey(question.nonce)}`
  const answer = await get(question, target, MAX_STATUS_BYTES)
  if (typeof answer === 'string') return answer
  const headers = { get: (name: string): string | null => [answer.headers[name]].flat()[0] ?? null }
  const signed = verifySignatureHeaders(verifyEd25519, { status: 200, target, body: answer.text }, headers)
  if (signed === undefined || !equalBytes(signed.publicKey, question.node.publicKey))
    return 'what the node says of itself is not signed with its identity'
  return postureSchema.safeParse(answer.body).data ?? 'what the node says of itself is not readable'
}

/** @returns the JSON of the answer, or why there is none */
async function get(
  { node: { url, tlsSpkiSha256 }, signal, exchange }: Question,
  target: string,
  maxReplyBytes: number,
): Promise<(Pick<Reply, 'headers'> & { readonly text: string; readonly body: unknown }) | string> {
  try {
    const pin = tlsSpkiSha256 && { tlsSpkiSha256 }
    const whole = url.replace(/\/+$/, '') + target
    const reply = await exchange({ url: whole, method: 'GET', signal, maxReplyBytes, ...pin })
    const text = new TextDecoder().decode(reply.body)
    const body = readable(() => JSON.parse(text) as unknown)
    if (reply.status === 200) return { text, body, headers: reply.headers }
    return `the node answers ${reply.status} ${codeOf(body)}`.trim()
  } catch (cause) {
    if (!isKmsError(cause) && !signal.aborted) throw cause
    return cause instanceof Error ? cause.message : 'the node does not answer'
  }
}

const errorSchema = z.object({ error: z.object({ code: z.string().regex(/^[a-z-]{1,64}$/) }) })
const codeOf = (body: unknown): string => errorSchema.safeParse(body).data?.error.code ?? ''
