import type { Fault } from '../../packages/dkg/src/ceremony/evidence.ts'
import { bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import type { ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'
import type { RepairMessage, RepairRequest } from '../../packages/dkg/src/repair/messages.ts'
import type { RepairEffect, RepairEnd } from '../../packages/dkg/src/repair/types.ts'

/** A message on its way: what a faulty sender may change, drop or multiply. */
export interface Sent {
  readonly from: ParticipantIndex
  readonly to: ParticipantIndex
  readonly bytes: Uint8Array
  readonly message: RepairMessage
}

export interface BenchOptions {
  readonly recoverer: ParticipantIndex
  /** What becomes of a message; the default sends it as it is. */
  readonly tamper?: (sent: Sent) => readonly Uint8Array[]
  /** The share a helper uses; the default is its own. */
  readonly useShare?: (index: ParticipantIndex) => Uint8Array
  /** Whether the operator of this helper approves; the default does. */
  readonly approves?: (index: ParticipantIndex, request: RepairRequest) => boolean
  /** Whether the operator of this helper says no. */
  readonly denies?: (index: ParticipantIndex) => boolean
  /** Where the process that performs action number `at` dies: before the action or right behind it. */
  readonly crash?: { readonly at: number; readonly behind: boolean }
  /** This helper loses its disk right behind its first M1, which r holds already. */
  readonly rollBack?: { readonly helper: ParticipantIndex }
  /** Preferred helpers. */
  readonly reachable?: readonly ParticipantIndex[]
}

/** What happened in a repair. */
export class RepairRecord {
  readonly sent: Sent[] = []
  readonly faults: { readonly at: ParticipantIndex; readonly fault: Fault }[] = []
  readonly disputes: (readonly [number, number])[] = []
  readonly ends: { readonly at: ParticipantIndex; readonly reason: RepairEnd }[] = []
  readonly refused: { readonly helper: number; readonly reason: string }[] = []
  readonly snapshots: { readonly at: ParticipantIndex; readonly bytes: Uint8Array }[] = []
  /** Every helper's M1s by rid and maker: one each, whatever crashes. */
  readonly contributions = new Map<string, Set<string>>()
  /** The share in the recoverer's key store. */
  repaired: Uint8Array | undefined

  note(at: ParticipantIndex, effect: RepairEffect): void {
    if (effect.type === 'fault') this.faults.push({ at, fault: effect.fault })
    if (effect.type === 'dispute') this.disputes.push([effect.between[0], effect.between[1]])
    if (effect.type === 'finished') this.ends.push({ at, reason: effect.reason })
    if (effect.type !== 'progress') return
    for (const refusal of effect.refusals) this.refused.push(refusal)
  }

  noteSent(sent: Sent): void {
    this.sent.push(sent)
    const { message } = sent
    if (message.kind !== 'contribution') return
    const slot = bytesKey(message.signed.body.subarray(0, 34))
    const known = this.contributions.get(slot) ?? new Set()
    known.add(bytesKey(message.signed.body))
    this.contributions.set(slot, known)
  }

  refusedWith(reason: string): boolean {
    return this.sent.some(({ message }) => message.kind === 'refusal' && message.reason === reason)
  }
}
