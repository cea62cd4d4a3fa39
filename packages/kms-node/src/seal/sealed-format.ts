import { KmsError } from '@tkms/dkg'

/** What protects the keyring at rest. */
export type SealerProvider = 'passphrase' | 'tpm2' | 'dstack' | 'kms-file'

/** The first byte of everything sealed. */
const CODES: Readonly<Record<SealerProvider, number>> = { passphrase: 1, tpm2: 2, dstack: 3, 'kms-file': 4 }

/** The first byte of what `provider` seals. */
export const providerCode = (provider: SealerProvider): number => CODES[provider]

/** What a sealer throws when it cannot open something: another key, another machine state, or changed bytes. */
export const unsealFailed = (message: string, cause?: unknown): KmsError =>
  new KmsError('unseal-failed', message, { cause })

/**
 * Fails closed: bytes open only under the provider that sealed them.
 * @throws KmsError `sealer-mismatch` naming both providers, `unseal-failed` when no provider of ours sealed these bytes
 */
export function requireProvider(sealed: Uint8Array, configured: SealerProvider): void {
  if (sealed[0] === CODES[configured]) return
  const sealedBy = Object.entries(CODES).find(([, code]) => code === sealed[0])?.[0]
  if (sealedBy === undefined) throw unsealFailed('these bytes were not sealed by any provider of this version')
  throw new KmsError(
    'sealer-mismatch',
    `this store was sealed by ${sealedBy}, and sealer.provider is ${configured}: no provider takes another's place. Set sealer.provider to ${sealedBy} in node.yaml`,
    { data: { sealedBy, configured } },
  )
}
