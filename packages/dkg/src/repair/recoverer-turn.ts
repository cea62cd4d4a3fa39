import type { EnginePorts } from '../ceremony/engine-types.ts'
import { FAULT_SUMMARIES } from '../ceremony/fault.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { repairFault } from './evidence.ts'
import { encodeOver, encodeSignedRepair } from './messages.ts'
import { encodeRecovererSnapshot } from './recoverer-snapshot.ts'
import { type Attempt, destroySums, type RecovererState } from './recoverer-state.ts'
import type { SignedBody } from './signed-body.ts'
import type { RepairEffect, RepairEnd, RepairStep } from './types.ts'

/** One step of a recoverer under way: a private copy of its state, and the effects it causes. */
export class RecovererTurn {
  readonly ports: EnginePorts
  readonly state: RecovererState
  readonly effects: RepairEffect[] = []
  mustPersist = false

  constructor(ports: EnginePorts, state: RecovererState) {
    this.ports = ports
    this.state = state
  }

  finish(): RepairStep<RecovererState> {
    this.#tellProgress()
    const { state, effects } = this
    if (!this.mustPersist) return { state, effects }
    return { state, effects: [{ type: 'persist', snapshot: encodeRecovererSnapshot(state) }, ...effects] }
  }

  send(to: ParticipantIndex, message: Uint8Array): void {
    this.effects.push({ type: 'send', to, message })
  }

  /** REQ, and the M1s that are here: a helper may have missed one, or have got another. */
  ask(attempt: Attempt, helpers: readonly ParticipantIndex[]): void {
    for (const helper of helpers.filter((index) => !attempt.sums.has(index))) {
      this.send(helper, encodeSignedRepair('request', attempt.signed))
      for (const { signed } of attempt.contributions.values())
        this.send(helper, encodeSignedRepair('contribution', signed))
    }
  }

  startTimer(): void {
    const { retransmitMs, retransmitMaxMs } = this.state.params.timings
    const ms = Math.min(retransmitMaxMs, retransmitMs * 2 ** Math.min(this.state.retransmits, 16))
    this.effects.push({ type: 'start-timer', ms })
  }

  /** A proven fault: the helper is never asked again. */
  blame(kind: 'E2' | 'E7', culprit: ParticipantIndex, attempt: Attempt, signed: readonly SignedBody[]): void {
    this.effects.push({
      type: 'fault',
      fault: repairFault(kind, culprit, { sharing: this.state.params.sharing, request: attempt.signed }, signed),
    })
    this.state.excluded.set(culprit, 'faulty')
    this.giveUpAttempt()
  }

  /** Step 3: sigma_k that does not open what every M1 says. Nobody else can check it: a private message names k to r alone. */
  accuse(culprit: ParticipantIndex): void {
    const summary = `${FAULT_SUMMARIES.E7}: the sum it sent does not open what the helpers committed to`
    const fault = { culprit, kind: 'E7', certainty: 'alleged', summary, evidence: new Uint8Array(0) } as const
    this.effects.push({ type: 'fault', fault })
    this.state.excluded.set(culprit, 'faulty')
    this.giveUpAttempt()
  }

  dispute(a: ParticipantIndex, b: ParticipantIndex): void {
    this.state.disputes = [...this.state.disputes, [a, b]]
    this.effects.push({ type: 'dispute', between: [a, b] })
    this.giveUpAttempt()
  }

  /** The helpers of this try erase their parts; the next try needs a nonce. */
  giveUpAttempt(): void {
    this.release()
    this.state.attempt++
    this.state.phase = { name: 'seeding' }
    this.mustPersist = true
    this.effects.push({ type: 'need-nonce', attempt: this.state.attempt })
  }

  /** Of what broke off nothing is used any more; what had ended ends once more. */
  beginAgain(): void {
    const { phase } = this.state
    if (phase.name !== 'done') {
      if (phase.name === 'complete') phase.share.destroy()
      return this.giveUpAttempt()
    }
    this.mustPersist = true
    this.effects.push({ type: 'finished', reason: phase.reason })
  }

  /** Tells the helpers that nothing more is needed of them, and forgets the try. */
  release(): void {
    const { current } = this.state
    destroySums(current)
    for (const helper of current?.request.helpers ?? [])
      this.send(helper, encodeOver(current?.rid ?? new Uint8Array(32)))
    this.state.current = undefined
  }

  end(reason: RepairEnd): void {
    const { phase } = this.state
    if (phase.name === 'done') return
    if (phase.name === 'complete') phase.share.destroy()
    this.release()
    this.state.phase = { name: 'done', reason }
    this.mustPersist = true
    this.effects.push({ type: 'stop-timer' }, { type: 'finished', reason })
  }

  #tellProgress(): void {
    const { phase, current, progress } = this.state
    const missing =
      phase.name === 'collecting' && current !== undefined
        ? current.request.helpers.filter((helper) => !current.sums.has(helper))
        : []
    const refusals = [...(current?.refusals ?? [])].map(([helper, reason]) => ({ helper, reason }))
    const contributed = [...(current?.contributions.keys() ?? [])]
    const told = JSON.stringify([phase.name, this.state.attempt, missing, contributed, refusals])
    if (told === progress) return
    this.state.progress = told
    this.effects.push({ type: 'progress', phase: phase.name, missing, contributed, refusals })
  }
}
