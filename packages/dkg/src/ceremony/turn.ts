import { quorum } from './config.ts'
import type { CommitteeConfig } from './config.ts'
import type { CeremonyEffect, EnginePorts, TimerName } from './engine-types.ts'
import { encodeEvidence, type Fault, FAULT_SUMMARIES } from './evidence.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { type MessageName, type SignedMessage, signMessage } from './signed-message.ts'
import type { CeremonyState } from './state.ts'

/** One step under way: a private copy of the state, and the effects it causes. */
export class Turn {
  readonly ports: EnginePorts
  readonly state: CeremonyState
  readonly effects: CeremonyEffect[] = []
  /** Something was decided that must be durable before any effect of this step runs. */
  mustPersist = false

  constructor(ports: EnginePorts, state: CeremonyState) {
    this.ports = ports
    this.state = state
  }

  get config(): CommitteeConfig {
    return this.state.params.spec.newConfig
  }

  get self(): ParticipantIndex {
    return this.state.params.self
  }

  get isLeader(): boolean {
    return this.self === this.state.leader
  }

  get quorum(): number {
    return quorum(this.config)
  }

  emit(effect: CeremonyEffect): void {
    this.effects.push(effect)
  }

  /**
   * Fills a slot of the sent-slot table and sends it to everybody. A slot once filled is never filled again (protocol 5).
   * @returns the message, for this node's own inbox; undefined when the slot is taken
   */
  send(name: MessageName, payload: Uint8Array, slot: string = name): SignedMessage | undefined {
    const { state } = this
    if (state.sent.has(slot)) return undefined
    const header = { name, ceremony: state.ceremony, view: state.view, from: this.self }
    const message = signMessage(this.ports.sign, header, payload)
    state.sent.set(slot, message)
    this.mustPersist = true
    this.emit({ type: 'send', to: 'all', signed: message.bytes })
    return message
  }

  resendAll(to: 'all' | ParticipantIndex): void {
    for (const message of this.state.sent.values()) this.emit({ type: 'send', to, signed: message.bytes })
  }

  /** What a peer may have missed while it was not connected: own messages, and what proves an equivocation. */
  greet(peer: ParticipantIndex): void {
    this.resendAll(peer)
    for (const messages of this.state.equivocations.values())
      for (const message of messages) this.emit({ type: 'send', to: peer, signed: message.bytes })
  }

  /** T_phase(v), protocol 4. */
  get phaseMs(): number {
    const { phaseBaseMs, phasePerMemberMs } = this.state.params.timings
    return (phaseBaseMs + phasePerMemberMs * this.config.n) * 2 ** Math.min(this.state.view, 5)
  }

  /** Starts a timer of this view unless it already runs or has fired. */
  startTimer(name: TimerName, ms: number): void {
    const { running, fired, view } = this.state
    if (running.has(name) || fired.has(name)) return
    running.add(name)
    this.emit({ type: 'start-timer', name, view, ms })
  }

  stopTimers(): void {
    for (const name of this.state.running) this.emit({ type: 'stop-timer', name })
    this.state.running.clear()
  }

  /** Records a proven fault once per culprit and tells the driver, with evidence that stands alone. */
  blame(
    kind: 'E1' | 'E2' | 'E3' | 'E4' | 'E5',
    culprit: ParticipantIndex,
    messages: readonly SignedMessage[],
    relayed: readonly SignedMessage[] = messages,
  ): void {
    if (this.state.faults.has(culprit)) return
    const evidence = encodeEvidence(kind, this.state.params.spec, messages)
    const fault: Fault = { culprit, kind, certainty: 'proven', summary: FAULT_SUMMARIES[kind], evidence }
    this.state.faults.set(culprit, fault)
    if (kind === 'E2') this.state.equivocations.set(culprit, messages)
    // A node proven faulty is never in QUAL again: a restart does not forget it (protocol R4). Once the outcome is certified the share
    // is the driver's, and nothing more is persisted.
    const { name } = this.state.phase
    if (name !== 'complete' && name !== 'archived') this.mustPersist = true
    this.emit({ type: 'fault', fault })
    // Whoever sees these messages proves the same: relaying signed messages is the gossip of evidence.
    for (const message of relayed) this.emit({ type: 'send', to: 'all', signed: message.bytes })
  }
}
