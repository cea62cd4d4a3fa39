import { concatBytes } from '@noble/hashes/utils.js'
import { BOUND_BYTES, bytesKey, taggedHash, u32 } from '@tkms/dkg'

export { BOUND_BYTES, REPORT_DATA_BYTES, reportData, type ReportSubject } from '@tkms/dkg'

const ZEROS = new Uint8Array(BOUND_BYTES)

/** A key and the certificate that a node goes by for it. */
export interface HeldCertificate {
  /** 32 bytes. */
  readonly keyId: Uint8Array
  /** As in the cluster file. */
  readonly certificate: Uint8Array
}

/** TH("attested-certificates", u32 count || (keyId || TH("certificate", bytes)) by ascending keyId); zeros without any. @returns 32 bytes */
export function certificatesHash(held: readonly HeldCertificate[]): Uint8Array {
  if (held.length === 0) return ZEROS.slice()
  const sorted = held.toSorted((one, other) => (bytesKey(one.keyId) < bytesKey(other.keyId) ? -1 : 1))
  const parts = sorted.map(({ keyId, certificate }) => concatBytes(keyId, taggedHash('certificate', certificate)))
  return taggedHash('attested-certificates', u32(held.length), ...parts)
}
