import { hkdfSync } from 'node:crypto'
import { type CeremonyId, Secret, u32 } from '@tkms/dkg'
import type { Rng } from '../ports.ts'

export interface ViewSeeds {
  /** 32 bytes each, independent of one another; those that were asked for. */
  readonly dealing?: Secret
  readonly receiver?: Secret
  /** What this node deals: its share of the sharing before, or an imported key. 32 bytes. */
  readonly oldShare?: Secret
}

export interface WantedSeeds {
  readonly view: number
  readonly dealing: boolean
  readonly receiver: boolean
}

/**
 * Fresh seeds for one view of one ceremony (protocol R0): HKDF-SHA-256 over 32 bytes of the operating system and the sealed node
 * seed, bound to (ceremony, view). A broken generator alone does not make two ceremonies use the same coefficients.
 * @param nodeSeed 32 bytes, borrowed
 */
export function drawViewSeeds(rng: Rng, nodeSeed: Secret, ceremony: CeremonyId, wanted: WantedSeeds): ViewSeeds {
  const draw = (purpose: string): Secret => {
    const fresh = rng.bytes(32)
    const info = Buffer.concat([Buffer.from(`TKMS/1/view-seed/${purpose}`), ceremony, u32(wanted.view)])
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
  return {
    ...(wanted.dealing && { dealing: draw('dealing') }),
    ...(wanted.receiver && { receiver: draw('receiver') }),
  }
}
