import type { NodeConfig } from './config/types.ts'
import type { NodeSealer } from './seal/key-sealer.ts'
import { openSealer } from './seal/open-sealer.ts'
import { openRecordStore, type OpenRecordStore } from './store/record-store.ts'
import { requireStore } from './store/require-store.ts'
import { storeDirectory, systemRng } from './system.ts'

/**
 * Lends the sealed store of a node that does not run.
 * @throws KmsError `store-missing`, `store-locked`, `sealer-mismatch`, `unseal-failed`, `passphrase-missing`, `unsafe-permissions`
 */
export async function withNodeStore<T>(
  config: NodeConfig,
  env: Record<string, string | undefined>,
  use: (store: OpenRecordStore, sealer: NodeSealer) => Promise<T>,
): Promise<T> {
  await requireStore(config)
  const sealer = await openSealer({ config, env })
  try {
    const store = await openRecordStore({ directory: storeDirectory(config.dataDir), sealer, rng: systemRng })
    try {
      return await use(store, sealer)
    } finally {
      await store.close()
    }
  } finally {
    sealer.destroy()
  }
}
