import type { NodeConfig } from '../config/types.ts'
import type { Rng } from '../ports.ts'
import { systemRng } from '../system.ts'
import { createDstackSealer } from './dstack-sealer.ts'
import { createKeyFileSealer } from './key-file.ts'
import type { NodeSealer } from './key-sealer.ts'
import { createPassphraseSealer } from './passphrase-sealer.ts'
import { PASSPHRASE_VARIABLE, readPassphrase } from './passphrase.ts'
import { createTpm2Sealer } from './tpm2-sealer.ts'

export interface SealerSource {
  readonly config: Pick<NodeConfig, 'sealer' | 'profile'>
  /** `process.env`: a passphrase in it is removed, whichever provider is configured. */
  readonly env: Record<string, string | undefined>
  /** Default: the operating system's. */
  readonly rng?: Rng
  /** Told what production would refuse. */
  readonly onWarning?: (warning: string) => void
}

/**
 * Makes the sealer that node.yaml names: the one place that does. It never falls back to another.
 * @throws KmsError `passphrase-missing`, `passphrase-unreadable`, `passphrase-weak`, `unsafe-permissions`
 */
export async function openSealer(source: SealerSource): Promise<NodeSealer> {
  const { config, env, rng = systemRng, onWarning } = source
  const { sealer, profile } = config
  if (sealer.provider !== 'passphrase') delete env[PASSPHRASE_VARIABLE]
  switch (sealer.provider) {
    case 'passphrase': {
      const warned = onWarning && { onWarning }
      const passphrase = await readPassphrase({ file: sealer.passphraseFile, env, profile, ...warned })
      return createPassphraseSealer({ passphrase, rng, params: { logN: sealer.scryptLogN, r: 8, p: 1 } })
    }
    case 'tpm2': {
      const { tcti, pcrs } = sealer
      return createTpm2Sealer({ tcti, pcrs, requireMeasured: profile === 'production' }, rng)
    }
    case 'dstack':
      return createDstackSealer({ socket: sealer.socket }, rng)
    case 'kms-file':
      return createKeyFileSealer(sealer.keyFile, rng)
  }
}
