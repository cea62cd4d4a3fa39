import { hexToBytes } from '@noble/hashes/utils.js'
import { KmsError } from '@tkms/dkg'
import { z } from 'zod'
import type { AttestationReport, Report } from '../attest/report.ts'

const QUOTE_TIMEOUT_MS = 30_000
const nonceSchema = z.string().regex(/^0x[0-9a-f]{64}$/)
const MESSAGES = {
  'no-attestation': 'this node does not prove what runs on it: attestation.provider is none',
  'attestation-unavailable': 'the platform gave no quote; the log of the node says why',
  busy: 'too many quotes are asked for',
} as const

/** `GET /attestation/NONCE`. @throws KmsError `no-attestation`, `attestation-unavailable`, `busy` */
export async function askQuote(report: Report, nonce: string): Promise<AttestationReport> {
  const answer = await report(hexToBytes(nonceSchema.parse(nonce).slice(2)), AbortSignal.timeout(QUOTE_TIMEOUT_MS))
  if (typeof answer === 'string') throw new KmsError(answer, MESSAGES[answer])
  return answer
}
