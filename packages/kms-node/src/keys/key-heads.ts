import { equalBytes } from '@tkms/dkg'
import type { KeyHead } from '../net/ceremony-frame.ts'
import type { KeyLife } from './keeper-types.ts'

/** What a peer's word about a key calls for. Nothing of it is believed: the certificate decides (protocol 5, start-up self-check). */
export type HeadAdvice =
  /** Both know the same sharing. */
  | 'same'
  /** The peer is behind: it hears of ours by our heads, and asks. */
  | 'peer-behind'
  /** The peer claims a later sharing, or a key that is unknown here: ask for its certificate. */
  | 'fetch'
  /** Two sharings of one epoch and attempt cannot both be certified. */
  | 'rival'
  /** The key was destroyed here: the peer must hear of the order. */
  | 'destroyed'

export function adviseOnHead(own: KeyLife | undefined, peer: KeyHead): HeadAdvice {
  if (own?.destroyedAtMs !== undefined) return 'destroyed'
  const latest = own?.sharings[0]?.sharing
  if (latest === undefined) return 'fetch'
  if (equalBytes(latest.key.sharingId, peer.sharingId)) return 'same'
  const ahead = peer.epoch - latest.epoch || peer.attempt - latest.attempt
  if (ahead === 0) return 'rival'
  return ahead > 0 ? 'fetch' : 'peer-behind'
}

/** What this node shows of its keys. */
export const headsOf = (keys: readonly KeyLife[]): readonly KeyHead[] =>
  keys.flatMap(({ destroyedAtMs, sharings }) =>
    destroyedAtMs === undefined
      ? sharings.slice(0, 1).map(({ sharing: { key } }) => ({
          keyId: key.keyId,
          sharingId: key.sharingId,
          epoch: key.epoch,
          attempt: key.attempt,
        }))
      : [],
  )
