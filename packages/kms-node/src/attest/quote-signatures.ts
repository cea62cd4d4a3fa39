import { createHash, createPublicKey, type KeyObject, timingSafeEqual, verify } from 'node:crypto'
import type { Quote } from '@phala/dcap-qvl/src/quote.js'

/** Where the report data of an enclave's report begins (Intel SDM 3D, table 35-21, without what the platform signs). */
const QE_REPORT_DATA_AT = 320
const COORDINATE_BYTES = 32

/** What binds a quote to its platform's certificate, as the quote carries it; nothing of it is verified. */
export interface QuoteSignatures {
  /** Header and report. */
  readonly signed: Uint8Array
  /** 64 bytes, by the attestation key. */
  readonly signature: Uint8Array
  /** A point of P-256, 64 bytes. */
  readonly attestationKey: Uint8Array
  /** Of the quoting enclave, 384 bytes. */
  readonly qeReport: Uint8Array
  readonly qeAuthData: Uint8Array
  /** 64 bytes, by the platform. */
  readonly qeReportSignature: Uint8Array
}

export function readSignatures(quote: Quote, bytes: Uint8Array): QuoteSignatures {
  const { ecdsaSignature, ecdsaAttestationKey, ...enclave } = quote.authData.intoV3()
  return {
    signed: bytes.subarray(0, quote.signedLength()),
    signature: ecdsaSignature,
    attestationKey: ecdsaAttestationKey,
    qeReport: enclave.qeReport,
    qeAuthData: enclave.qeAuthData,
    qeReportSignature: enclave.qeReportSignature,
  }
}

/**
 * Whether the platform signed its quoting enclave, the enclave named the attestation key, and that key signed the quote (Intel SGX ECDSA
 * QuoteLib, A.4). Whose collateral is fetched has a genuine platform behind it then, and not its certificate alone, which anybody may show.
 * The library verifies all of it once more, with the collateral.
 * @param platform the key of the platform's PCK certificate
 */
export function isSignedBy(signatures: QuoteSignatures, platform: KeyObject): boolean {
  const { signed, signature, attestationKey, qeReport, qeAuthData, qeReportSignature } = signatures
  const named = createHash('sha256').update(attestationKey).update(qeAuthData).digest()
  const inReport = qeReport.subarray(QE_REPORT_DATA_AT, QE_REPORT_DATA_AT + named.length)
  if (inReport.length !== named.length || !timingSafeEqual(inReport, named)) return false
  return isSigned(platform, qeReport, qeReportSignature) && isSigned(keyOf(attestationKey), signed, signature)
}

const isSigned = (key: KeyObject, bytes: Uint8Array, signature: Uint8Array): boolean =>
  verify('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' }, signature)

/** @throws Error where it is no point of the curve */
function keyOf(point: Uint8Array): KeyObject {
  const coordinate = (at: number): string =>
    Buffer.from(point.subarray(at, at + COORDINATE_BYTES)).toString('base64url')
  const key = { kty: 'EC', crv: 'P-256', x: coordinate(0), y: coordinate(COORDINATE_BYTES) }
  return createPublicKey({ key, format: 'jwk' })
}
