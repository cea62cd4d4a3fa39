import { hkdfSync } from 'node:crypto'
import { Secret } from '@tkms/dkg'
import type { Rng } from '../ports.ts'
import { KEY_BYTES } from '../store/aead.ts'
import type { WrappingKeys } from './key-sealer.ts'
import { type SealerProvider, unsealFailed } from './sealed-format.ts'

const SALT_BYTES = 32

/**
 * Wrapping keys of stores that share one root secret: HKDF-SHA256(root, salt, "TKMS/1/seal/" provider), the header is the store's
 * random salt(32).
 * @param root asked again for every store; destroyed after use
 */
export function createSaltedKeys(provider: SealerProvider, root: () => Promise<Secret>, rng: Rng): WrappingKeys {
  const derive = async (salt: Uint8Array): Promise<Secret> => {
    const secret = await root()
    try {
      return secret.use(
        (bytes) => new Secret(new Uint8Array(hkdfSync('sha256', bytes, salt, `TKMS/1/seal/${provider}`, KEY_BYTES))),
      )
    } finally {
      secret.destroy()
    }
  }
  return {
    provider,
    create: async () => {
      const header = rng.bytes(SALT_BYTES)
      return { header, key: await derive(header) }
    },
    open: async (header) => {
      if (header.length !== SALT_BYTES) throw unsealFailed('the sealed file is damaged')
      return derive(header)
    },
    check: () => root().then((secret) => secret.destroy()),
    destroy: () => undefined,
  }
}
