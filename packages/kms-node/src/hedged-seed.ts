import { hkdfSync } from 'node:crypto'
import { Secret } from '@tkms/dkg'
import type { Rng } from './ports.ts'

/**
 * A fresh seed, 32 bytes: HKDF-SHA-256 over 32 bytes of the operating system and the sealed node seed, bound to `info`. A broken
 * generator alone does not make two uses the same.
 * @param nodeSeed 32 bytes, borrowed
 * @param info what the seed is for: `TKMS/1/...` and what this use is called, so that no two uses share one
 */
export function drawHedgedSeed(rng: Rng, nodeSeed: Secret, info: Uint8Array): Secret {
  const fresh = rng.bytes(32)
  return nodeSeed.use((seed) => {
    const material = Buffer.concat([fresh, seed])
    try {
      return new Secret(new Uint8Array(hkdfSync('sha256', material, new Uint8Array(0), info, 32)))
    } finally {
      material.fill(0)
      fresh.fill(0)
    }
  })
}
