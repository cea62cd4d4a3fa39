import { type CeremonyInput, type EngineRules, PROTOCOL_RULES } from '../../packages/dkg/src/ceremony/engine-types.ts'
import type { ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import { Dice } from './dice.ts'
import { EventQueue } from './event-queue.ts'
import { kitOf } from './identities.ts'
import type { EngineRoom, Instance } from './instance.ts'
import { createOldSharing, createProposal, type Proposal } from './proposal.ts'
import type { Scenario } from './scenario.ts'
import { nameOf, type WireName } from './wire.ts'

/** What a node of the model is to the world around it. */
export interface Citizen {
  readonly index: ParticipantIndex
  receive(from: ParticipantIndex, proposal: Proposal, input: CeremonyInput): void
}

type Event = () => void

/** Time, network and randomness of one run. */
export class World implements EngineRoom {
  readonly scenario: Scenario
  readonly dice: Dice
  readonly kit
  readonly rules: EngineRules
  readonly old
  readonly proposals: readonly Proposal[]
  readonly citizens = new Map<number, Citizen>()
  readonly trace: ((line: string) => void) | undefined
  nowMs = 0
  events = 0
  /** Something happened that may end the run. */
  mayBeOver = false
  readonly #queue = new EventQueue<Event>()
  #timerTokens = 0

  constructor(scenario: Scenario, options: { readonly rules?: EngineRules; readonly trace?: (line: string) => void }) {
    this.scenario = scenario
    this.dice = new Dice(scenario.seed, 2)
    this.kit = kitOf(scenario.arithmetic)
    this.rules = options.rules ?? PROTOCOL_RULES
    this.trace = options.trace
    const [first] = scenario.proposals
    this.old = first?.old === undefined ? undefined : createOldSharing(this.kit, scenario.seed, first.old)
    this.proposals = scenario.proposals.map((plan) => createProposal(this.kit, scenario.seed, plan, this.old))
  }

  /** A rule of the protocol is switched off: only conflicts count. */
  get isControl(): boolean {
    return this.rules !== PROTOCOL_RULES
  }

  get isCalm(): boolean {
    return this.nowMs >= this.scenario.calmMs
  }

  at(atMs: number, event: Event): void {
    this.#queue.push(Math.max(atMs, this.nowMs), event)
  }

  after(delayMs: number, event: Event): void {
    this.#queue.push(this.nowMs + delayMs, event)
  }

  /** Runs until `done`, until nothing is left to happen, or until that time. */
  run(untilMs: number, done: () => boolean): void {
    while (!done()) {
      const next = this.#queue.pop()
      if (next === undefined || next.atMs > untilMs) return
      this.nowMs = next.atMs
      this.events += 1
      next.item()
    }
  }

  say(who: ParticipantIndex | 'world', what: () => string): void {
    this.trace?.(
      `${(this.nowMs / 1000).toFixed(3).padStart(9)} ${who === 'world' ? '   ' : String(who).padStart(3)} ${what()}`,
    )
  }

  /** Of this life of the instance only; replaces a running timer of the same name. */
  startTimer(instance: Instance, timer: Extract<CeremonyInput, { type: 'timer' }>, ms: number): void {
    const token = ++this.#timerTokens
    instance.timers.set(timer.name, token)
    this.after(ms, () => {
      if (!instance.alive || instance.timers.get(timer.name) !== token) return
      instance.timers.delete(timer.name)
      this.say(instance.self, () => `timer ${timer.name} of view ${timer.view} fires`)
      instance.step(timer)
    })
  }

  /** Puts a message on the wire, to whatever the network does with it. */
  transmit(from: ParticipantIndex, to: ParticipantIndex, proposal: Proposal, input: CeremonyInput): void {
    const name = nameOf(input)
    const { net } = this.scenario
    const copies = !this.isCalm && this.dice.chance(net.duplication) ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      const arrivesMs = this.#arrival(from, to, name)
      if (arrivesMs !== undefined) this.at(arrivesMs, () => this.citizens.get(to)?.receive(from, proposal, input))
    }
  }

  /** When a message arrives; undefined when it is lost. */
  #arrival(from: number, to: number, name: WireName): number | undefined {
    const { dice, nowMs } = this
    const { net, calmMs } = this.scenario
    if (this.isCalm) return nowMs + 1 + dice.next() * 40
    if (dice.chance(net.loss) || dice.chance(net.lossOf[name] ?? 0)) return undefined
    const slow = dice.chance(net.tail) || dice.chance(net.delayOf[name] ?? 0)
    const arrivesMs = nowMs + 1 + dice.next() * (slow ? net.tailMs : net.delayMs)
    let heldUntilMs = 0
    for (const cut of net.partitions) {
      if (nowMs < cut.fromMs || nowMs >= cut.toMs) continue
      const leaves = cut.side.has(from) && !cut.side.has(to)
      const enters = !cut.oneWay && !cut.side.has(from) && cut.side.has(to)
      if (!leaves && !enters) continue
      if (!cut.holds) return undefined
      heldUntilMs = Math.max(heldUntilMs, cut.toMs + dice.next() * 40)
    }
    // Whatever is under way when the network becomes calm arrives soon after.
    return Math.min(Math.max(arrivesMs, heldUntilMs), calmMs + dice.next() * 100)
  }

  /** Everybody of the proposal but the sender, or the one who is meant. */
  receivers(proposal: Proposal, from: ParticipantIndex, to: 'all' | ParticipantIndex): readonly ParticipantIndex[] {
    return to === 'all' ? proposal.everybody.filter((index) => index !== from) : [participantIndex(to)]
  }
}
