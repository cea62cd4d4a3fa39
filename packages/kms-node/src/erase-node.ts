import { realpath, rm } from 'node:fs/promises'
import type { NodeConfig } from './config/types.ts'
import { withNodeStore } from './open-node-store.ts'
import { storeError } from './store/errors.ts'

/**
 * Removes a node that does not run, for good: first what its sealer keeps outside of the store, the counter in a TPM, then the data
 * directory with everything in it. Only its newest store can be erased; where the first step fails, nothing is gone.
 * @throws KmsError as `withNodeStore`, those of the sealer, `store-io` when files remain whose counter is gone
 */
export async function eraseNode(config: NodeConfig, env: Record<string, string | undefined>): Promise<void> {
  const directory = await realpath(config.dataDir)
  await withNodeStore(config, env, async (_, { counter }) => {
    await counter?.remove()
    await rm(directory, { recursive: true, force: true }).catch((cause: unknown) => {
      throw storeError('store-io', `${directory} never opens again, and its files are still there: remove them`, {
        cause,
        data: { directory },
      })
    })
  })
}
