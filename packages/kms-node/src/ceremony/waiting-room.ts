import { bytesKey, equalBytes, type ParticipantIndex } from '@tkms/dkg'
import type { EngineFrame } from '../net/ceremony-frame.ts'

/** What one peer may leave with us for ceremonies that are not approved here yet; the oldest goes first. */
const MAX_FRAMES_PER_PEER = 64

/** A frame of a ceremony with the member it came from. */
export interface WaitingFrame {
  readonly from: ParticipantIndex
  readonly frame: EngineFrame
}

/** Keeps what arrives for a ceremony before its operator approves it, bounded per peer. */
export interface WaitingRoom {
  add(from: ParticipantIndex, frame: EngineFrame): void
  /** Signed messages of one ceremony that this peer left here. */
  messagesFrom(ceremony: Uint8Array, from: ParticipantIndex): readonly Uint8Array[]
  /** Everything that waits for this ceremony, oldest first of each peer; it is forgotten here. */
  claim(ceremony: Uint8Array): readonly WaitingFrame[]
}

/** @param maxBytesPerPeer bytes one peer may leave, whatever their number */
export function createWaitingRoom(maxBytesPerPeer: number): WaitingRoom {
  const rooms = new Map<number, WaitingFrame[]>()
  return {
    add: (from, frame) => {
      const frames = rooms.get(from) ?? []
      frames.push({ from, frame })
      while (frames.length > MAX_FRAMES_PER_PEER || totalBytes(frames) > maxBytesPerPeer) frames.shift()
      rooms.set(from, frames)
    },
    messagesFrom: (ceremony, from) =>
      (rooms.get(from) ?? []).flatMap(({ frame }) =>
        frame.type === 'message' && equalBytes(frame.ceremony, ceremony) ? [frame.signed] : [],
      ),
    claim: (ceremony) => {
      const key = bytesKey(ceremony)
      const claimed: WaitingFrame[] = []
      for (const [from, frames] of rooms) {
        const split = Map.groupBy(frames, ({ frame }) => bytesKey(frame.ceremony) === key)
        claimed.push(...(split.get(true) ?? []))
        rooms.set(from, split.get(false) ?? [])
      }
      return claimed
    },
  }
}

const totalBytes = (frames: readonly WaitingFrame[]): number =>
  frames.reduce((sum, { frame }) => sum + sizeOf(frame), 0)

function sizeOf(frame: EngineFrame): number {
  if (frame.type === 'message') return frame.signed.length
  return frame.type === 'certificate' ? frame.certificate.length : 128
}
