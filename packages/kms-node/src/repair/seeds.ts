import { hkdfSync } from 'node:crypto'
import { type RepairId, Secret } from '@tkms/dkg'
import type { Rng } from '../ports.ts'

/**
 * A fresh seed for the parts of one repair: HKDF-SHA-256 over 32 bytes of the operating system and the sealed node seed, bound to the
 * rid. A broken generator alone does not make two repairs split a share in the same way.
 * @param nodeSeed 32 bytes, borrowed
 */
export function drawRepairSeed(rng: Rng, nodeSeed: Secret, rid: RepairId): Secret {
  const fresh = rng.bytes(32)
  const info = Buffer.concat([Buffer.from('TKMS/1/repair-seed'), rid])
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
