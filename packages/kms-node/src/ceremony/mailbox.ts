import type { CeremonyInput, ParticipantIndex } from '@tkms/dkg'

/** Inputs waiting from one peer; more are dropped, the peer sends again. */
const MAX_WAITING_PER_PEER = 256

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

export function createMailbox(): Mailbox {
  const own: CeremonyInput[] = []
  const peers = new Map<number, CeremonyInput[]>()
  let closed = false
  let wake: () => void = () => {}

  /** One input of the peer that waited longest, then that peer goes to the end of the line. */
  const nextFromPeers = (): CeremonyInput | undefined => {
    for (const [peer, inputs] of peers) {
      const input = inputs.shift()
      peers.delete(peer)
      if (inputs.length > 0) peers.set(peer, inputs)
      if (input !== undefined) return input
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
      const inputs = peers.get(peer) ?? []
      if (closed || inputs.length >= MAX_WAITING_PER_PEER) return false
      inputs.push(input)
      peers.set(peer, inputs)
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
          input.dealing.destroy()
          input.receiver.destroy()
        }
      own.length = 0
      peers.clear()
      wake()
    },
  }
}
