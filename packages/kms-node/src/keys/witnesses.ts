import { bytesKey, equalBytes, type ParticipantIndex } from '@tkms/dkg'
import type { KeyHead } from '../net/ceremony-frame.ts'
import type { KnownSharing } from './known-sharing.ts'

/**
 * Which members have the certificate of a sharing, by their own word over Noise. An epoch is left behind only when t of them do: else nodes
 * that saw it and nodes that did not could each be too few, where t is above half of the committee. A liar can keep an old share for T_max,
 * or let it go as early as it would without this rule.
 */
export interface Witnesses {
  heard(peer: ParticipantIndex, heads: readonly KeyHead[]): void
  isEstablished(sharing: KnownSharing): boolean
}

export function createWitnesses(): Witnesses {
  /** keyId -> peer -> its latest word. */
  const words = new Map<string, Map<number, KeyHead>>()
  return {
    heard: (peer, heads) => {
      for (const head of heads) {
        const ofKey = words.get(bytesKey(head.keyId)) ?? new Map<number, KeyHead>()
        words.set(bytesKey(head.keyId), ofKey.set(peer, head))
      }
    },
    isEstablished: ({ key, hasShare }) => {
      const ofKey = words.get(bytesKey(key.keyId)) ?? new Map<number, KeyHead>()
      const moved = key.config.members.filter(({ index }) => {
        const head = ofKey.get(index)
        return head !== undefined && (equalBytes(head.sharingId, key.sharingId) || head.epoch > key.epoch)
      })
      return moved.length + (hasShare ? 1 : 0) >= key.t
    },
  }
}
