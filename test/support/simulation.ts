import type {
  CeremonyEffect,
  CeremonyInput,
  CeremonyParams,
  CeremonyTimings,
  EnginePorts,
  Step,
} from '../../packages/dkg/src/ceremony/engine-types.ts'
import { bytesOf, type Committee, type Identity, seededRandom } from './simulated-committee.ts'
import { type NodeResult, SimulatedNode } from './simulated-node.ts'
import { decodeSigned, type SignedMessage } from '../../packages/dkg/src/ceremony/signed-message.ts'
import type { CeremonyState } from '../../packages/dkg/src/ceremony/state.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'

export const SIMULATED_TIMINGS: CeremonyTimings = {
  phaseBaseMs: 1_000,
  phasePerMemberMs: 50,
  retransmitMs: 200,
  retransmitMaxMs: 2_000,
}

export type { NodeResult } from './simulated-node.ts'

/** Changes what a node sends: undefined drops it, an array sends these instead to that receiver. */
export type Tamper = (message: SignedMessage, to: ParticipantIndex) => readonly Uint8Array[] | undefined

export interface SimulationOptions {
  readonly committee: Committee
  /** Of the scheduler: delays, order, crashes. */
  readonly seed: number
  /** Of the nodes' own randomness; 0 unless told. */
  readonly entropy?: number
  /** Nodes that never start. */
  readonly absent?: readonly number[]
  readonly tamper?: ReadonlyMap<number, Tamper>
  /** Deliver every message twice, and in random order. */
  readonly duplicate?: boolean
  /** Probability that a node dies before an effect or behind the last one, and restarts from its last snapshot. */
  readonly crashProbability?: number
  /** Extra inputs offered to every node before the run. */
  readonly garbage?: readonly Uint8Array[]
  /** Lose the messages that this predicate names. */
  readonly lose?: (message: SignedMessage, to: ParticipantIndex, timeMs: number) => boolean
  /** Hears every message sent, before it is lost or tampered with. */
  readonly overhear?: (message: SignedMessage) => void
  /** Sees every step of every node before its effects are performed. */
  readonly watch?: (index: ParticipantIndex, step: Step<CeremonyState>) => void
  readonly maxTimeMs?: number
  /** RESHARE and IMPORT: what dealers hold of the sharing that is replaced. */
  readonly oldShares?: ReadonlyMap<number, Secret>
  /** When nodes begin; at once unless told. */
  readonly startAtMs?: ReadonlyMap<number, number>
  /** Ends a node for good: before the effects of this step but its snapshot, or behind them. */
  readonly kill?: (index: ParticipantIndex, step: Step<CeremonyState>) => 'before' | 'after' | undefined
  /** Inputs from outside, at a time. */
  readonly events?: readonly { readonly atMs: number; readonly node: number; readonly input: CeremonyInput }[]
}

/** The seed that a simulated node gets in view 0 of its first life; another one in every other view and life. */
export const nodeSeed = (entropy: number, use: 'dealing' | 'receiver', index: number, life = 0, view = 0): Secret =>
  new Secret(
    life === 0 && view === 0
      ? bytesOf('seed', use, entropy, index)
      : bytesOf('seed', use, entropy, index, `life ${life}`, `view ${view}`),
  )

interface Event {
  readonly atMs: number
  readonly order: number
  readonly node: ParticipantIndex
  readonly input: CeremonyInput
  readonly epoch: number
}

/** n reducers under a seeded scheduler. Delays are random, so messages overtake each other. */
export function simulate(options: SimulationOptions): Map<number, NodeResult> {
  return new Simulation(options).run()
}

class Simulation {
  readonly #options: SimulationOptions
  readonly #random: () => number
  readonly #queue: Event[] = []
  readonly #nodes = new Map<ParticipantIndex, SimulatedNode>()
  #nowMs = 0
  #order = 0

  constructor(options: SimulationOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
  }

  run(): Map<number, NodeResult> {
    const { committee, absent = [], maxTimeMs = 600_000 } = this.#options
    const { startAtMs } = this.#options
    const later = committee.identities.filter(({ index }) => startAtMs?.has(index))
    for (const identity of committee.identities)
      if (!absent.includes(identity.index) && !later.includes(identity)) this.#start(identity)
    for (const { atMs, node, input } of this.#options.events ?? []) this.#enqueue(node as ParticipantIndex, input, atMs)
    for (;;) {
      const event = this.#next()
      const due = later.findIndex(
        ({ index }) => (startAtMs?.get(index) ?? 0) <= (event?.atMs ?? Number.POSITIVE_INFINITY),
      )
      const [starting] = due < 0 ? [] : later.splice(due, 1)
      if (starting !== undefined) {
        this.#nowMs = Math.max(this.#nowMs, startAtMs?.get(starting.index) ?? 0)
        if (event !== undefined) this.#queue.push(event)
        this.#start(starting)
        continue
      }
      if (event === undefined || event.atMs > maxTimeMs) break
      this.#nowMs = event.atMs
      const node = this.#nodes.get(event.node)
      const dies = event.input.type === 'timer' || event.input.type === 'seeds'
      if (node === undefined || node.dead || (dies && event.epoch !== node.epoch)) continue
      this.#step(node, event.input)
    }
    return new Map([...this.#nodes].map(([index, node]) => [index, node.result]))
  }

  #start(identity: Identity): void {
    const { committee, garbage = [] } = this.#options
    const ports: EnginePorts = { curve: committee.curve, sign: identity.sign, verify: committee.verify }
    const { spec, previous, authorizations } = committee
    const params: CeremonyParams = {
      spec,
      self: identity.index,
      timings: SIMULATED_TIMINGS,
      ...(previous && { previous }),
      ...(authorizations && { authorizations }),
    }
    const node = new SimulatedNode(params, ports)
    this.#nodes.set(identity.index, node)
    this.#perform(node, node.engine.open(params))
    for (const signed of garbage) this.#step(node, { type: 'message', signed })
  }

  #step(node: SimulatedNode, input: CeremonyInput): void {
    this.#perform(node, node.engine.step(node.state, input))
  }

  /** Before the first effect nothing is durable, behind a `persist` everything is: a crash can come on both sides of each. */
  #perform(node: SimulatedNode, step: Step<CeremonyState>): void {
    node.state = step.state
    node.result.phase = step.state.phase.name
    this.#options.watch?.(node.params.self, step)
    const end = this.#options.kill?.(node.params.self, step)
    node.dead = end !== undefined
    for (const effect of end === 'before' ? step.effects.filter(({ type }) => type === 'persist') : step.effects) {
      if (this.#crashes()) return this.#restart(node)
      this.#effect(node, effect)
    }
    if (this.#crashes()) this.#restart(node)
  }

  #crashes(): boolean {
    const { crashProbability = 0 } = this.#options
    return crashProbability > 0 && this.#random() < crashProbability
  }

  #restart(node: SimulatedNode): void {
    node.epoch += 1
    const { engine, params, snapshot } = node
    this.#perform(node, snapshot === undefined ? engine.open(params) : engine.resume(params, snapshot))
  }

  #effect(node: SimulatedNode, effect: CeremonyEffect): void {
    const self = node.params.self
    switch (effect.type) {
      case 'persist':
        node.snapshot = effect.snapshot.use((bytes) => Secret.copyOf(bytes))
        return
      case 'need-seeds': {
        const seed = (use: 'dealing' | 'receiver'): Secret =>
          nodeSeed(this.#options.entropy ?? 0, use, self, node.epoch, effect.view)
        const oldShare = this.#options.oldShares?.get(self)
        return this.#enqueue(self, {
          type: 'seeds',
          view: effect.view,
          ...(effect.dealing && { dealing: seed('dealing') }),
          ...(effect.receiver && { receiver: seed('receiver') }),
          ...(oldShare && { oldShare: oldShare.use((bytes) => Secret.copyOf(bytes)) }),
        })
      }
      case 'send':
        node.result.sent.push(effect.signed)
        for (const to of this.#receivers(self, effect.to)) this.#deliver(node, effect.signed, to)
        return
      case 'send-certificate':
        for (const to of this.#receivers(self, effect.to))
          this.#enqueue(to, { type: 'certificate', certificate: effect.certificate })
        return
      case 'fetch':
        return this.#enqueue(effect.to, { ...effect, type: 'fetch', from: self })
      case 'start-timer':
        return this.#enqueue(self, { type: 'timer', name: effect.name, view: effect.view }, effect.ms)
      case 'complete':
        node.result.certificate = effect.certificate
        if (effect.share !== undefined) node.result.share = effect.share.use((bytes) => Secret.copyOf(bytes))
        return this.#enqueue(self, { type: 'stored' })
      case 'archive':
        node.result.archived = true
        return
      case 'fault':
        node.result.faults.push(effect.fault)
        return
      case 'view-failed':
        node.result.failedViews.push(effect)
        return
      case 'rolled-back':
        node.result.rolledBackTo = effect.view
        return
      case 'abandon-refused':
        node.result.abandonRefused = effect.reason
        return
      case 'abandoned':
        node.result.abandoned = true
        return
      case 'ask-status':
        for (const to of this.#receivers(self, effect.to)) this.#enqueue(to, { type: 'status-request', from: self })
        return
      case 'send-status': {
        const { to, messages, cert1 } = effect
        return this.#enqueue(to, { type: 'status', from: self, messages, ...(cert1 && { cert1 }) })
      }
      case 'stop-timer':
      case 'progress':
        return
    }
  }

  #receivers(self: ParticipantIndex, to: 'all' | ParticipantIndex): ParticipantIndex[] {
    return to === 'all' ? [...this.#nodes.keys()].filter((index) => index !== self) : [to]
  }

  #deliver(node: SimulatedNode, signed: Uint8Array, to: ParticipantIndex): void {
    const { tamper, duplicate = false, lose } = this.#options
    const message = decodeSigned(signed)
    this.#options.overhear?.(message)
    if (lose?.(message, to, this.#nowMs) === true) return
    const own = message.header.from === node.params.self
    const change = own ? tamper?.get(node.params.self) : undefined
    const copies = change === undefined ? [signed] : (change(message, to) ?? [])
    for (const bytes of copies)
      for (let copy = 0; copy < (duplicate ? 2 : 1); copy++) this.#enqueue(to, { type: 'message', signed: bytes })
  }

  #enqueue(to: ParticipantIndex, input: CeremonyInput, delayMs = 1 + this.#random() * 50): void {
    const epoch = this.#nodes.get(to)?.epoch ?? 0
    this.#queue.push({ atMs: this.#nowMs + delayMs, order: this.#order++, node: to, input, epoch })
  }

  #next(): Event | undefined {
    let best = -1
    this.#queue.forEach((event, at) => {
      const least = this.#queue[best]
      if (least === undefined || event.atMs < least.atMs || (event.atMs === least.atMs && event.order < least.order))
        best = at
    })
    return best < 0 ? undefined : this.#queue.splice(best, 1)[0]
  }
}
