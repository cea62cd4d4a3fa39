import { createRequesterKey, type RequesterKey } from '@tkms/kms-client'

/** The RSA key to which the nodes box their answers. */
export interface RenewingKey extends RequesterKey {
  /** A fresh key for what is asked from now on; the one before still opens what was asked until now. Takes 50 to 500 ms. */
  renew(): Promise<void>
}

/**
 * Making an RSA key for every request would cost more than all the rest of it, so one serves for a while, in memory only: whoever takes
 * it with all the traffic of that time learns the shared secrets of that time and of no other.
 */
export async function createRenewingKey(make: () => Promise<RequesterKey> = createRequesterKey): Promise<RenewingKey> {
  let current = await make()
  let previous: RequesterKey | undefined
  return {
    get spki() {
      return current.spki
    },
    get blockBytes() {
      return current.blockBytes
    },
    unwrap: async (block) => (await current.unwrap(block)) ?? previous?.unwrap(block),
    async renew() {
      const next = await make()
      previous = current
      current = next
    },
  }
}
