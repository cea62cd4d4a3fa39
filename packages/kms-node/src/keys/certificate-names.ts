import { bytesKey, type KeyId, KmsError, MAX_CERTIFICATE_BYTES, Reader, type SharingId, taggedHash } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'

/** What a certificate is about. */
export interface CertificateNames {
  readonly keyId: KeyId
  readonly sharingId: SharingId
}

/**
 * The key and the sharing that CERT names: `var X || var OUT || ..`, OUT = u8 1 || ceremony(32) || u32 v0 || sid(32) || keyId(32) || ..
 * (protocol R4, 6). Nothing is verified: for finding records, never for trusting them.
 * @throws KmsError `bad-encoding`
 */
export function certificateNames(certificate: Uint8Array): CertificateNames {
  const reader = new Reader(certificate)
  reader.var(MAX_CERTIFICATE_BYTES, 'CERT.X')
  const outcome = reader.var(MAX_CERTIFICATE_BYTES, 'CERT.OUT')
  const fields = new Reader(outcome)
  fields.take(1 + 32 + 4 + 32, 'OUT')
  return {
    keyId: fields.take(32, 'OUT.keyId') as KeyId,
    sharingId: taggedHash('outcome', outcome) as SharingId,
  }
}

/** Certificates grouped by the key they claim to be of; what does not even name one is refused. */
export function certificatesByKey(
  certificates: readonly Uint8Array[],
  refused: KmsError[],
): readonly (readonly [KeyId, readonly Uint8Array[]])[] {
  const groups = new Map<string, [KeyId, Uint8Array[]]>()
  for (const certificate of certificates) {
    try {
      const { keyId } = certificateNames(certificate)
      const group = groups.get(bytesKey(keyId)) ?? [keyId, []]
      group[1].push(certificate)
      groups.set(bytesKey(keyId), group)
    } catch (error) {
      if (!isKmsError(error)) throw error
      refused.push(new KmsError('bad-certificate', 'not a certificate', { cause: error }))
    }
  }
  return [...groups.values()]
}
