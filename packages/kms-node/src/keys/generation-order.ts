import { attempt, decodeSpec, isSameName, MAX_CERTIFICATE_BYTES, Reader, type VerifiedKey } from '@tkms/dkg'
import type { KeyLife } from './keeper-types.ts'

/** The same certificates, earlier generations first: they decide who may make the later ones. What is none comes first. */
export function byGeneration(certificates: readonly Uint8Array[]): readonly Uint8Array[] {
  const generationOf = (certificate: Uint8Array): number =>
    attempt(() => decodeSpec(new Reader(certificate).var(MAX_CERTIFICATE_BYTES, 'CERT.X')))?.generation ?? 0
  return certificates
    .map((certificate) => ({ certificate, generation: generationOf(certificate) }))
    .toSorted((left, right) => left.generation - right.generation)
    .map(({ certificate }) => certificate)
}

/** Whether this is a later generation of the name of that key. */
export function isLaterGeneration({ sharings }: KeyLife, key: VerifiedKey): boolean {
  const latest = sharings[0]?.sharing.key
  return latest !== undefined && isSameName(latest, key) && latest.generation > key.generation
}
