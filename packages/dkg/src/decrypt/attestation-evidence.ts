import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, u64, u8, varBytes } from '../primitives/codec.ts'
import { taggedHash } from '../primitives/hash.ts'
import { parsePublicKeyId } from './public-key-id.ts'

/** Evidence kind of a quote of the machine that asks, for the policy rule `attested`. */
export const EVIDENCE_ATTESTATION = 3
/** A TDX or SGX quote with its certificates has about 5 kB. */
export const MAX_ATTESTATION_QUOTE_BYTES: number = 16 * 1024

/** A quote among the evidence of a request. */
export interface AttestationEvidence {
  /** Unix seconds at which the requester's machine says that it asked for the quote: the quote covers it, `attestedRequesterNonce`. */
  readonly quotedAt: number
  /** 1..16384 bytes, as the platform signed them. */
  readonly quote: Uint8Array
}

/** u8 1 || u64 quotedAt || quote. @throws KmsError `bad-request` for a quote that is empty or too long */
export function encodeAttestationEvidence({ quotedAt, quote }: AttestationEvidence): Uint8Array {
  requireQuote(quote)
  return concatBytes(u8(1), u64(quotedAt), quote)
}

/** @throws KmsError `bad-request`, `bad-encoding` */
export function decodeAttestationEvidence(bytes: Uint8Array): AttestationEvidence {
  return decodeAll(bytes, 'attestation', (reader) => {
    if (reader.u8('attestation.version') !== 1) throw dkgError('bad-request', 'attestation evidence has version 1')
    const quotedAt = reader.u64('attestation.quotedAt')
    const quote = reader.rest(MAX_ATTESTATION_QUOTE_BYTES, 'attestation.quote')
    requireQuote(quote)
    return { quotedAt, quote }
  })
}

/**
 * What stands for the verifier's nonce in the report data of a requester: who asks, and when the quote was made. TH("attested-requester",
 * var publicKeyId || u64 quotedAt), 32 bytes.
 * @param publicKeyId of who signs the requests, or the session that they are asked in @throws KmsError `bad-request`
 */
export function attestedRequesterNonce(publicKeyId: string, quotedAt: number): Uint8Array {
  parsePublicKeyId(publicKeyId)
  return taggedHash('attested-requester', varBytes(utf8ToBytes(publicKeyId)), u64(quotedAt))
}

function requireQuote(quote: Uint8Array): void {
  if (quote.length === 0 || quote.length > MAX_ATTESTATION_QUOTE_BYTES)
    throw dkgError('bad-request', 'a quote has 1 to 16384 bytes')
}
