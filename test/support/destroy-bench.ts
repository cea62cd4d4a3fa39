import { createDestroyCollector } from '../../packages/dkg/src/destroy/collector.ts'
import { decodeDestroyMessage, type DestroySharing, verifyOrder } from '../../packages/dkg/src/destroy/messages.ts'
import type { DestroyCollectorState, DestroyEffect, DestroyInput } from '../../packages/dkg/src/destroy/types.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import { EventQueue } from './event-queue.ts'
import type { Committee, Identity } from './simulated-committee.ts'

/** Nodes that run the reducer; a crash forgets everything but the last snapshot. */
export class DestroyBench {
  readonly erasures = new Map<number, number>()
  readonly phases = new Map<number, string>()
  actions = 0
  readonly #queue = new EventQueue<{ readonly to: number; readonly input: DestroyInput }>()
  readonly #states = new Map<number, DestroyCollectorState>()
  readonly #disks = new Map<number, Uint8Array>()
  readonly #committee: Committee
  readonly #sharings: readonly DestroySharing[]
  readonly #crash: { readonly at: number; readonly behind: boolean } | undefined
  readonly #silent: ReadonlySet<number>
  readonly #loses: ((from: number, to: number, message: Uint8Array) => boolean) | undefined

  constructor(
    committee: Committee,
    sharings: readonly DestroySharing[],
    options: {
      readonly crash?: { readonly at: number; readonly behind: boolean }
      readonly silent?: readonly number[]
      /** Frames that are lost. */
      readonly loses?: (from: number, to: number, message: Uint8Array) => boolean
    } = {},
  ) {
    this.#committee = committee
    this.#sharings = sharings
    this.#crash = options.crash
    this.#silent = new Set(options.silent)
    this.#loses = options.loses
  }

  run(approving: readonly number[], statements: readonly Uint8Array[] = []): this {
    const members = new Set(this.#sharings.flatMap(({ config }) => config.members.map(({ index }) => index)))
    for (const index of members) this.#start(index)
    for (const index of approving) this.#queue.push(0, { to: index, input: { type: 'approve' } })
    for (const message of statements)
      for (const index of members) this.#queue.push(0, { to: index, input: { type: 'erased-statement', message } })
    this.#queue.drain(300_000, ({ to, input }) => this.#step(to, input))
    return this
  }

  #params(self: number) {
    const current = this.#sharings.at(-1)
    if (current === undefined) throw new Error('a key has a sharing')
    const timings = { retransmitMs: 2_000, retransmitMaxMs: 30_000 }
    return { sharings: this.#sharings, current, self: participantIndex(self), timings }
  }

  #collector(index: number) {
    return createDestroyCollector({ sign: this.#identity(index).sign, verify: this.#committee.verify })
  }

  #start(index: number): void {
    const disk = this.#disks.get(index)
    const collector = this.#collector(index)
    const step = disk === undefined ? collector.open(this.#params(index)) : collector.resume(this.#params(index), disk)
    this.#states.set(index, step.state)
    this.#perform(index, step.effects)
  }

  #step(index: number, input: DestroyInput): void {
    const state = this.#states.get(index)
    if (state === undefined || this.#silent.has(index)) return
    const step = this.#collector(index).step(state, input)
    this.#states.set(index, step.state)
    this.#perform(index, step.effects)
  }

  #perform(index: number, effects: readonly DestroyEffect[]): void {
    for (const effect of effects) {
      const acts = effect.type === 'persist' || effect.type === 'send' || effect.type === 'erase'
      const dies = acts && ++this.actions === this.#crash?.at
      if (!dies || this.#crash?.behind === true) this.#performOne(index, effect)
      if (dies) return this.#start(index)
    }
  }

  #performOne(index: number, effect: DestroyEffect): void {
    switch (effect.type) {
      case 'persist':
        this.#disks.set(index, effect.snapshot)
        return
      case 'send':
        for (const to of this.#states.keys())
          if (
            to !== index &&
            (effect.to === 'all' || effect.to === to) &&
            this.#loses?.(index, to, effect.message) !== true
          )
            this.#queue.push(20, {
              to,
              input: { type: 'message', from: participantIndex(index), message: effect.message },
            })
        return
      case 'erase': {
        const order = decodeDestroyMessage(effect.order)
        const current = this.#params(index).current
        if (order.kind !== 'order') throw new Error('an order to erase is an order')
        if (!verifyOrder(this.#committee.verify, current, order.order, order.signatures))
          throw new Error('erased without an order of Q members')
        this.erasures.set(index, (this.erasures.get(index) ?? 0) + 1)
        this.#queue.push(0, { to: index, input: { type: 'erased', sharings: this.#sharings } })
        return
      }
      case 'start-timer':
        this.#queue.push(effect.ms, { to: index, input: { type: 'timer' } })
        return
      case 'progress':
        this.phases.set(index, effect.phase)
        return
      case 'stop-timer':
        return
    }
  }

  #identity(index: number): Identity {
    const found = this.#committee.identities.find((candidate) => candidate.index === index)
    if (found === undefined) throw new Error(`node ${index} has no identity`)
    return found
  }
}
