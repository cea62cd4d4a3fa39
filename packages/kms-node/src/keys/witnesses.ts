import { bytesKey, equalBytes, type ParticipantIndex } from '@tkms/dkg'
import type { KeyHead } from '../net/ceremony-frame.ts'
import { MAX_KEY_HEADS } from '../net/frame-caps.ts'
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
  /** peer -> keyId -> its latest word: no more keys per peer than one frame has room for, the oldest word goes first. */
  const words = new Map<number, Map<string, KeyHead>>()
  return {
    heard: (peer, heads) => {
      const ofPeer = words.get(peer) ?? new Map<string, KeyHead>()
      words.set(peer, ofPeer)
      for (const head of heads) {
        const keyId = bytesKey(head.keyId)
        ofPeer.delete(keyId)
        ofPeer.set(keyId, head)
      }
      for (const keyId of ofPeer.keys()) {
        if (ofPeer.size <= MAX_KEY_HEADS) break
        ofPeer.delete(keyId)
      }
    },
    isEstablished: ({ key, hasShare }) => {
      const keyId = bytesKey(key.keyId)
      const moved = key.config.members.filter(({ index }) => {
        const head = words.get(index)?.get(keyId)
        return head !== undefined && (equalBytes(head.sharingId, key.sharingId) || head.epoch > key.epoch)
      })
      return moved.length + (hasShare ? 1 : 0) >= key.t
    },
  }
}
