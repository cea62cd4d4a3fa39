import { randomBytes } from 'node:crypto'
import { bytesKey, type Cluster, type ClusterNode } from '@tkms/dkg'
import { z } from 'zod'
import { isKmsError } from '../errors.ts'
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

/** What became of asking one node. */
export interface NodeVerdict {
  readonly index: number
  readonly name: string
  readonly url: string
  /** "?" where nothing was learnt. */
  readonly provider: string
  readonly verdict: 'accepted' | 'refused'
  /** With `accepted`. */
  readonly measurement?: string
  readonly tcbStatus?: string
  readonly daysLeft?: number
  /** With `refused`. */
  readonly reason?: RefusalReason
  readonly detail?: string
}

/** The part of the client's exchange that is needed. @throws KmsError `unreachable`, `bad-reply`; the signal's reason */
type Exchange = (request: {
  readonly url: string
  readonly method: 'GET'
  readonly signal: AbortSignal
  readonly maxReplyBytes: number
  readonly tlsSpkiSha256?: Uint8Array
}) => Promise<{ readonly status: number; readonly body: Uint8Array }>

export interface AskingPorts {
  readonly exchange: Exchange
  readonly verifier: AttestationVerifier
  readonly nowMs: () => number
  /** 32 fresh bytes; default: of the operating system. */
  readonly nonce?: () => Uint8Array
  readonly timeoutMs?: number
}

const keysSchema = z.object({
  keys: z
    .array(
      z.object({
        keyId: z.string().regex(/^0x[0-9a-f]{64}$/),
        certificate: z.string().regex(/^0x(?:[0-9a-f]{2})+$/),
      }),
    )
    .max(10_000),
})

/** Asks every node of a cluster, each with a nonce of its own, and judges what they answer. Never rejects for what they say. */
export const askNodes = (cluster: Cluster, ports: AskingPorts): Promise<readonly NodeVerdict[]> =>
  Promise.all(cluster.nodes.map((node) => askNode(cluster, node, ports)))

async function askNode(cluster: Cluster, node: ClusterNode, ports: AskingPorts): Promise<NodeVerdict> {
  const { index, name, url } = node
  const report = await judge(cluster, node, ports)
  const row = { index, name, url, provider: report.provider }
  const { verdict } = report
  if (verdict.kind === 'refused') return { ...row, verdict: 'refused', reason: verdict.reason, detail: verdict.detail }
  const { measurement, tcbStatus, expiresMs } = verdict
  const daysLeft = Math.floor((expiresMs - ports.nowMs()) / DAY_MS)
  return { ...row, verdict: 'accepted', measurement, tcbStatus, daysLeft }
}

const without = (reason: RefusalReason, detail: string): CheckedReport => ({
  provider: '?',
  certificatesHash: undefined,
  verdict: refusedQuote(reason, detail),
})

async function judge(cluster: Cluster, node: ClusterNode, ports: AskingPorts): Promise<CheckedReport> {
  const { verifier, nonce = () => randomBytes(BOUND_BYTES), timeoutMs = NODE_TIMEOUT_MS } = ports
  const signal = AbortSignal.timeout(timeoutMs)
  const fresh = nonce()
  const answer = await get(node, `v1/attestation?nonce=0x${bytesKey(fresh)}`, MAX_REPORT_BYTES, ports, signal)
  if (typeof answer === 'string') return without('missing', answer)
  const asked = { clusterId: cluster.config.clusterId, identity: node.publicKey, nonce: fresh }
  const report = await checkReport(verifier, answer.body, asked, signal)
  if (report.verdict.kind === 'refused') return report
  const status = await get(node, 'v1/status', MAX_STATUS_BYTES, ports, signal)
  const said = typeof status === 'string' ? undefined : keysSchema.safeParse(status.body).data
  if (said !== undefined && provesCertificates(report, heldHash(said.keys))) return report
  const detail = 'the node goes by other certificates than those it proves; while a key changes, ask again'
  return { ...report, verdict: refusedQuote('report-data', detail) }
}

/** @returns the JSON of the answer, or why there is none */
async function get(
  { url, tlsSpkiSha256 }: ClusterNode,
  path: string,
  maxReplyBytes: number,
  { exchange }: AskingPorts,
  signal: AbortSignal,
): Promise<{ readonly body: unknown } | string> {
  try {
    const target = `${url.replace(/\/+$/, '')}/${path}`
    const pin = tlsSpkiSha256 && { tlsSpkiSha256 }
    const reply = await exchange({ url: target, method: 'GET', signal, maxReplyBytes, ...pin })
    const body = readable(() => JSON.parse(new TextDecoder().decode(reply.body)) as unknown)
    return reply.status === 200 ? { body } : `the node answers ${reply.status} ${codeOf(body)}`.trim()
  } catch (cause) {
    if (!isKmsError(cause) && !signal.aborted) throw cause
    return cause instanceof Error ? cause.message : 'the node does not answer'
  }
}

const errorSchema = z.object({ error: z.object({ code: z.string().regex(/^[a-z-]{1,64}$/) }) })
const codeOf = (body: unknown): string => errorSchema.safeParse(body).data?.error.code ?? ''
