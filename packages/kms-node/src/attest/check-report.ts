import { equalBytes } from '@tkms/dkg'
import { hexToBytes } from '@noble/hashes/utils.js'
import { z } from 'zod'
import { MAX_QUOTE_BYTES } from './quote-bytes.ts'
import { reportData } from './report-data.ts'
import { type AttestationVerdict, refusedQuote } from './verdict.ts'
import type { AttestationVerifier } from './verify-quote.ts'

const hex32 = z.string().regex(/^0x[0-9a-f]{64}$/)
/** An answer of `GET /v1/attestation`, as far as a verifier needs it. */
const reportSchema = z.object({
  provider: z.string().max(32),
  clusterId: hex32,
  ed25519: hex32,
  certificatesHash: hex32,
  nonce: hex32,
  quote: z
    .string()
    .max(2 + 2 * MAX_QUOTE_BYTES)
    .regex(/^0x(?:[0-9a-f]{2})+$/),
})

/** Whom a verifier asked, by what it knew before. */
export interface AskedNode {
  readonly clusterId: Uint8Array
  /** Ed25519, 32 bytes. */
  readonly identity: Uint8Array
  /** Fresh, 32 bytes. */
  readonly nonce: Uint8Array
}

export interface CheckedReport {
  readonly provider: string
  readonly certificatesHash: Uint8Array | undefined
  readonly verdict: AttestationVerdict
}

/** Judges what a node answered by what was asked: cluster, identity and nonce are the asker's, never the answer's. */
export async function checkReport(
  verifier: AttestationVerifier,
  answer: unknown,
  asked: AskedNode,
  signal: AbortSignal,
): Promise<CheckedReport> {
  const parsed = reportSchema.safeParse(answer)
  if (!parsed.success)
    return { provider: '?', certificatesHash: undefined, verdict: refusedQuote('malformed', 'the answer is no report') }
  const { provider, quote } = parsed.data
  const certificates = hexToBytes(parsed.data.certificatesHash.slice(2))
  const expected = reportData({ role: 'node', ...asked, certificates })
  const verdict = await verifier.verify(hexToBytes(quote.slice(2)), { reportData: expected, signal })
  return { provider, certificatesHash: certificates, verdict }
}

/** Whether a node that says which certificates it goes by says so in its proof too. */
export const provesCertificates = (report: CheckedReport, said: Uint8Array): boolean =>
  report.certificatesHash !== undefined && equalBytes(report.certificatesHash, said)
