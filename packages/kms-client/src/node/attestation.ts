import { sha256 } from '@noble/hashes/sha2.js'
import {
  attestedRequesterNonce,
  bytesKey,
  encodeAttestationEvidence,
  type Evidence,
  EVIDENCE_ATTESTATION,
  reportData,
} from '@tkms/dkg'
import type { EvidenceSource, EvidenceSubject } from '../client-types.ts'
import { clientError } from '../errors.ts'

/** Asks the platform for a quote. @param reportData the 64 bytes that it must cover @returns a TDX or SGX quote, at most 16 KiB */
export type QuoteSource = (reportData: Uint8Array) => Promise<Uint8Array>

export interface AttestationOptions {
  /** A quote is used for so long, then another is asked for: 1 to 3600; 900 unless given. Below the `maxAgeSeconds` of the policies. */
  readonly renewSeconds?: number
}

const DEFAULT_RENEW_SECONDS = 900
const MAX_RENEW_SECONDS = 3600

interface Quoted {
  readonly evidence: Promise<readonly Evidence[]>
  readonly subject: string
  readonly untilSeconds: number
}

/**
 * Proves to nodes what machine asks: for `createKmsClient`'s `evidence`, and policies with the rule `attested`. The quote binds the
 * cluster, the RSA key of the client, its signer and the time; one is asked for at a time, and none more often than they run out.
 * @throws KmsError `bad-argument` for a time out of range; the source's errors, and `bad-request` for a quote too long, when asking nodes
 * @example
 * const kms = await createNodeKmsClient({ cluster, signer, evidence: attestation((reportData) => tdxQuote(reportData)) })
 */
export function attestation(quote: QuoteSource, options: AttestationOptions = {}): EvidenceSource {
  const { renewSeconds = DEFAULT_RENEW_SECONDS } = options
  if (!Number.isInteger(renewSeconds) || renewSeconds < 1 || renewSeconds > MAX_RENEW_SECONDS)
    throw clientError('bad-argument', `a quote is used for 1 to ${MAX_RENEW_SECONDS} seconds`)
  let latest: Quoted | undefined

  const ask = async (
    { clusterId, spki, requester }: EvidenceSubject,
    quotedAt: number,
  ): Promise<readonly Evidence[]> => {
    const nonce = attestedRequesterNonce(requester, quotedAt)
    const data = reportData({ role: 'requester', clusterId, rsaSpkiSha256: sha256(spki), nonce })
    const bytes = encodeAttestationEvidence({ quotedAt, quote: await quote(data) })
    return [{ kind: EVIDENCE_ATTESTATION, bytes }]
  }

  return async (asked) => {
    const nowSeconds = Math.floor(asked.nowMs / 1000)
    const subject = `${bytesKey(asked.clusterId)} ${bytesKey(sha256(asked.spki))} ${asked.requester}`
    if (latest?.subject === subject && nowSeconds < latest.untilSeconds) return latest.evidence
    const quoted = { evidence: ask(asked, nowSeconds), subject, untilSeconds: nowSeconds + renewSeconds }
    latest = quoted
    try {
      return await quoted.evidence
    } catch (error) {
      // Whoever asks next asks the platform again.
      if (latest === quoted) latest = undefined
      throw error
    }
  }
}
