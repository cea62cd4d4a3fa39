import type { CeremonyInput, ParticipantIndex } from '@tkms/dkg'

/** Inputs waiting from one peer; more are dropped, the peer sends again. */
const MAX_WAITING_PER_PEER = 256
/** An input without bytes of its own. */
const SMALL_INPUT_BYTES = 128

/** The inputs of one ceremony, in order; what the node itself says goes first, peers are capped one by one. */
export interface Mailbox {
  /** From this node: timers, seeds, stored. */
  pushOwn(input: CeremonyInput): void
  /** False when this peer's share of the mailbox is full: the input was dropped. */
  pushFrom(peer: ParticipantIndex, input: CeremonyInput): boolean
  /** The next input; waits for one. `undefined` after `close`. */
  take(): Promise<CeremonyInput | undefined>
  close(): void
}

/** What one peer left here. */
interface Waiting {
  readonly inputs: CeremonyInput[]
  bytes: number
}

/** @param maxBytesPerPeer bytes one peer may leave, whatever their number */
export function createMailbox(maxBytesPerPeer: number): Mailbox {
  const own: CeremonyInput[] = []
  const peers = new Map<number, Waiting>()
  let closed = false
  let wake: () => void = () => {}

  /** One input of the peer that waited longest, then that peer goes to the end of the line. */
  const nextFromPeers = (): CeremonyInput | undefined => {
    for (const [peer, waiting] of peers) {
      const input = waiting.inputs.shift()
      peers.delete(peer)
      if (input === undefined) continue
      waiting.bytes -= sizeOf(input)
      if (waiting.inputs.length > 0) peers.set(peer, waiting)
      return input
    }
    return undefined
  }

  return {
    pushOwn: (input) => {
      if (closed) return
      own.push(input)
      wake()
    },
    pushFrom: (peer, input) => {
      const waiting = peers.get(peer) ?? { inputs: [], bytes: 0 }
      const bytes = waiting.bytes + sizeOf(input)
      if (closed || waiting.inputs.length >= MAX_WAITING_PER_PEER || bytes > maxBytesPerPeer) return false
      waiting.inputs.push(input)
      waiting.bytes = bytes
      peers.set(peer, waiting)
      wake()
      return true
    },
    take: async () => {
      while (!closed) {
        const input = own.shift() ?? nextFromPeers()
        if (input !== undefined) return input
        await new Promise<void>((resolve) => (wake = resolve))
      }
      return undefined
    },
    close: () => {
      closed = true
      for (const input of own)
        if (input.type === 'seeds') {
          input.dealing?.destroy()
          input.receiver?.destroy()
          input.oldShare?.destroy()
        }
      own.length = 0
      peers.clear()
      wake()
    },
  }
}

function sizeOf(input: CeremonyInput): number {
  if (input.type === 'message') return input.signed.length
  if (input.type === 'status')
    return input.messages.reduce((sum, { length }) => sum + length, input.cert1?.length ?? SMALL_INPUT_BYTES)
  return input.type === 'certificate' ? input.certificate.length : SMALL_INPUT_BYTES
}
