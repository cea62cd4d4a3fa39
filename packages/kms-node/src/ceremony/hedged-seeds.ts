import { type CeremonyId, type Secret, u32 } from '@tkms/dkg'
import { drawHedgedSeed } from '../hedged-seed.ts'
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
 * Fresh seeds for one view of one ceremony (protocol R0), bound to (ceremony, view).
 * @param nodeSeed 32 bytes, borrowed
 */
export function drawViewSeeds(rng: Rng, nodeSeed: Secret, ceremony: CeremonyId, wanted: WantedSeeds): ViewSeeds {
  const draw = (purpose: string): Secret =>
    drawHedgedSeed(
      rng,
      nodeSeed,
      Buffer.concat([Buffer.from(`TKMS/1/view-seed/${purpose}`), ceremony, u32(wanted.view)]),
    )
  return {
    ...(wanted.dealing && { dealing: draw('dealing') }),
    ...(wanted.receiver && { receiver: draw('receiver') }),
  }
}
