import type { ParticipantIndex } from '../primitives/types.ts'
import { quorum } from './config.ts'
import type { CommitteeConfig } from './config.ts'
import type { CeremonyEffect, EnginePorts, EngineRules, TimerName } from './engine-types.ts'
import { type CeremonyFaultKind, encodeEvidence, type Fault, FAULT_SUMMARIES } from './evidence.ts'
import { isReceiver, type Parties } from './parties.ts'
import type { ReceiverSecrets } from './seeds.ts'
import { type MessageName, type SignedMessage, signMessage } from './signed-message.ts'
import type { CeremonyState } from './state.ts'

/** Where a message stands in the sent-slot table: one per view and name, a COMPLAIN per dealer, one ABANDON (protocol 5). */
export const slotName = (name: MessageName, view: number, dealer?: number): string =>
  dealer === undefined ? `${view}/${name}` : `${view}/${name}/${dealer}`

/** One step under way: a private copy of the state, and the effects it causes. */
export class Turn {
  readonly ports: EnginePorts
  readonly rules: EngineRules
  readonly state: CeremonyState
  readonly effects: CeremonyEffect[] = []
  /** Something was decided that must be durable before any effect of this step runs. */
  mustPersist = false

  constructor(ports: EnginePorts, rules: EngineRules, state: CeremonyState) {
    this.ports = ports
    this.rules = rules
    this.state = state
  }

  get parties(): Parties {
    return this.state.parties
  }

  /** newConfig: the committee that receives and votes. */
  get config(): CommitteeConfig {
    return this.state.parties.receivers
  }

  get self(): ParticipantIndex {
    return this.state.params.self
  }

  get isLeader(): boolean {
    return this.self === this.state.leader
  }

  get isReceiver(): boolean {
    return isReceiver(this.parties, this.self)
  }

  get quorum(): number {
    return quorum(this.config)
  }

  /** ek of the current view. */
  get receiverKey(): ReceiverSecrets | undefined {
    return this.state.receiverKeys.get(this.state.view)
  }

  /** CERT2 is known, or can never be. */
  get isOver(): boolean {
    const { phase } = this.state
    return 'key' in phase || phase.name === 'abandoned'
  }

  /** Q - 1 members of newConfig have said what they hold from this node: it knows what it has signed before (protocol 5). */
  get isConfirmed(): boolean {
    const others = this.config.n - (this.isReceiver ? 1 : 0)
    return this.state.answered.size >= Math.min(this.quorum - 1, others)
  }

  emit(effect: CeremonyEffect): void {
    this.effects.push(effect)
  }

  /**
   * Fills a slot of the sent-slot table and sends it to everybody. A slot once filled is never filled again (protocol 5).
   * @param about the dealer that a COMPLAIN accuses
   * @returns the message, for this node's own inbox; undefined when the slot is taken
   */
  send(
    name: MessageName,
    payload: Uint8Array,
    about?: number,
    view: number = this.state.view,
  ): SignedMessage | undefined {
    const { state } = this
    const slot = slotName(name, view, about)
    if (state.sent.has(slot)) return undefined
    const message = signMessage(this.ports.sign, { name, ceremony: state.ceremony, view, from: this.self }, payload)
    state.sent.set(slot, message)
    this.mustPersist = true
    this.emit({ type: 'send', to: 'all', signed: message.bytes })
    return message
  }

  /** Own messages that are not superseded: those of the current view, and an ABANDON. */
  resendAll(to: 'all' | ParticipantIndex): void {
    const { sent, view, standing } = this.state
    for (const message of sent.values()) {
      const current = standing === 'active' && message.header.view === view
      if (current || message.header.name === 'abandon') this.emit({ type: 'send', to, signed: message.bytes })
    }
  }

  /** What a peer may have missed while it was not connected: own messages, and what proves an equivocation. */
  greet(peer: ParticipantIndex): void {
    if (!this.isConfirmed) this.emit({ type: 'ask-status', to: peer })
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
    this.state.fired.clear()
  }

  /** Records a proven fault once per culprit and tells the driver, with evidence that stands alone. */
  blame(
    kind: CeremonyFaultKind,
    culprit: ParticipantIndex,
    messages: readonly SignedMessage[],
    relayed: readonly SignedMessage[] = messages,
  ): void {
    const { state } = this
    if (state.faults.has(culprit)) return
    const { spec, previous } = state.params
    const evidence = encodeEvidence(kind, spec, messages, previous?.certificate)
    const fault: Fault = { culprit, kind, certainty: 'proven', summary: FAULT_SUMMARIES[kind], evidence }
    state.faults.set(culprit, fault)
    if (kind === 'E2') state.equivocations.set(culprit, messages)
    // A node proven faulty is never in QUAL again: a restart does not forget it (protocol R4). Once the outcome is certified the share
    // is the driver's, and nothing more is persisted.
    const { name } = state.phase
    // None of its dealings is waited for, or kept, unless the certificate names it.
    if (name !== 'fetching')
      for (const [hash, { dealer }] of state.wanted) if (dealer === culprit) state.wanted.delete(hash)
    if (name !== 'complete' && name !== 'archived' && name !== 'abandoned') this.mustPersist = true
    this.emit({ type: 'fault', fault })
    // Whoever sees these messages proves the same: relaying signed messages is the gossip of evidence.
    for (const message of relayed) this.emit({ type: 'send', to: 'all', signed: message.bytes })
  }
}
