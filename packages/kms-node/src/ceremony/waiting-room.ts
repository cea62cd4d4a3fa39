import {
  bytesKey,
  type CeremonySpec,
  ceremonyId,
  type ParticipantIndex,
  verifyEd25519,
  verifyMemberAuthorization,
} from '@tkms/dkg'
import type { CeremonyFrame } from '../net/ceremony-frame.ts'
import { readHead } from './books.ts'

/** What one peer may leave with us for ceremonies that have no engine here yet; the oldest goes first. */
const MAX_FRAMES_PER_PEER = 64

/** A frame of one ceremony. */
export type RoutedFrame = Extract<CeremonyFrame, { readonly ceremony: Uint8Array }>

/** A frame of a ceremony with the member it came from. */
export interface WaitingFrame {
  readonly from: ParticipantIndex
  readonly frame: RoutedFrame
}

/** Keeps what arrives for a ceremony before its engine runs here, bounded per peer. */
export interface WaitingRoom {
  add(from: ParticipantIndex, frame: RoutedFrame): void
  /** Everything that waits for this ceremony, oldest first of each peer; it is forgotten here. */
  claim(ceremony: Uint8Array): readonly WaitingFrame[]
  /** AUTH signatures and ABANDONs that wait; they stay here. */
  peek(ceremony: Uint8Array): readonly WaitingFrame[]
  /** The verified AUTH of this member over X, 64 bytes. */
  authorizationOf(spec: CeremonySpec, member: ParticipantIndex): Uint8Array | undefined
  /** The messages of this ceremony that are signed by the asker, as their headers say (protocol 5, STATUS). */
  heldFrom(ceremony: Uint8Array, asker: ParticipantIndex): readonly Uint8Array[]
}

/** @param maxBytesPerPeer bytes one peer may leave, whatever their number */
export function createWaitingRoom(maxBytesPerPeer: number): WaitingRoom {
  const rooms = new Map<number, WaitingFrame[]>()
  const of = (ceremony: Uint8Array): WaitingFrame[] => {
    const key = bytesKey(ceremony)
    return [...rooms.values()].flat().filter(({ frame }) => bytesKey(frame.ceremony) === key)
  }
  return {
    add: (from, frame) => {
      const frames = rooms.get(from) ?? []
      frames.push({ from, frame })
      while (frames.length > MAX_FRAMES_PER_PEER || totalBytes(frames) > maxBytesPerPeer) frames.shift()
      rooms.set(from, frames)
    },
    claim: (ceremony) => {
      const claimed = of(ceremony)
      for (const [from, frames] of rooms)
        rooms.set(
          from,
          frames.filter((waiting) => !claimed.includes(waiting)),
        )
      return claimed
    },
    peek: of,
    authorizationOf: (spec, member) =>
      of(ceremonyId(spec))
        .flatMap(({ frame }) => (frame.type === 'authorization' && frame.index === member ? [frame.signature] : []))
        .find((signature) => verifyMemberAuthorization(verifyEd25519, spec, { index: member, signature })),
    heldFrom: (ceremony, asker) =>
      of(ceremony).flatMap(({ frame }) =>
        frame.type === 'message' && readHead(frame.signed)?.from === asker ? [frame.signed] : [],
      ),
  }
}

const totalBytes = (frames: readonly WaitingFrame[]): number =>
  frames.reduce((sum, { frame }) => sum + sizeOf(frame), 0)

function sizeOf(frame: RoutedFrame): number {
  if (frame.type === 'message') return frame.signed.length
  if (frame.type === 'status') return frame.messages.reduce((sum, { length }) => sum + length, 128)
  return frame.type === 'certificate' ? frame.certificate.length : 128
}
