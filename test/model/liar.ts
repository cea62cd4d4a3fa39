import { decodePropose, decodeVote } from '../../packages/dkg/src/ceremony/messages.ts'
import type { CeremonyEffect, CeremonyInput } from '../../packages/dkg/src/ceremony/engine-types.ts'
import { decodeSigned, type SignedMessage } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { outcomeHash } from '../../packages/dkg/src/ceremony/outcome.ts'
import { bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import type { ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'
import { signAuthorization } from '../../packages/dkg/src/ceremony/authorization.ts'
import { memberAt } from '../../packages/dkg/src/ceremony/config.ts'
import type { LiarHabits } from './habits.ts'
import { drawSeeds, type Host, Instance } from './instance.ts'
import { Lies } from './lies.ts'
import type { Proposal } from './proposal.ts'
import { headOf, nameOf } from './wire.ts'
import type { Citizen, World } from './world.ts'

/** Earlier disks that a copy may be started from. */
const HISTORY = 12

/**
 * A faulty node: copies of the honest engine, started from whatever disk of its past, each hearing and telling its own part of the
 * others, and lies signed with the real key on top. It ignores slots and promises.
 */
export class Liar implements Citizen, Host {
  readonly index: ParticipantIndex
  readonly #world: World
  readonly #habits: LiarHabits
  readonly #lies: Lies
  readonly #copies = new Map<Proposal, Instance[]>()
  readonly #history = new Map<Proposal, Uint8Array[]>()
  /** Which copy talks to whom: a receiver that is not named hears all. */
  #audience = new Map<number, number>()
  readonly #supported = new Set<string>()
  #seeds = 0

  constructor(world: World, index: ParticipantIndex, habits: LiarHabits) {
    this.#world = world
    this.#habits = habits
    this.index = index
    this.#lies = new Lies(world, index, habits)
    for (const proposal of world.proposals) if (proposal.everybody.includes(index)) this.#prepare(proposal)
  }

  #prepare(proposal: Proposal): void {
    const { kit, dice } = this.#world
    const { spec } = proposal
    if (spec.kind === 'reshare' && memberAt(spec.oldConfig, this.index) !== undefined && dice.chance(0.7))
      proposal.authorizations.set(this.index, signAuthorization(kit.identity(this.index).sign, spec, this.index))
    const begin = (): void => {
      const enough = spec.kind === 'keygen' || proposal.authorizations.size >= spec.oldConfig.t
      if (enough) this.#start(proposal, undefined)
      else this.#world.after(700, begin)
    }
    this.#world.after(dice.within(0, 2_000), begin)
    if (this.#world.scenario.story === 'abandon' || this.#world.scenario.story === 'rivals')
      this.#world.after(dice.within(0, 20_000), () => this.#tell(proposal, this.#lies.abandon(proposal), 0.7))
  }

  #start(proposal: Proposal, snapshot: Uint8Array | undefined): void {
    const copies = this.#copies.get(proposal) ?? []
    this.#copies.set(proposal, copies)
    const instance = new Instance(this.#world, this, proposal, this.index, copies.length)
    copies.push(instance)
    const { dice } = this.#world
    const { audience } = this.#habits
    this.#audience = new Map(
      proposal.everybody.flatMap((other) =>
        dice.chance(copies.length > 1 ? 0.8 : 1 - audience)
          ? [[other, dice.below(copies.length + (audience < 1 ? 1 : 0))]]
          : [],
      ),
    )
    this.#world.say(this.index, () => `copy ${instance.copy} starts in ${proposal.plan.name}`)
    instance.start(snapshot)
  }

  receive(_from: ParticipantIndex, proposal: Proposal, input: CeremonyInput): void {
    if (input.type === 'message') this.#overhear(proposal, input.signed)
    const { dice } = this.#world
    const copies = this.#copies.get(proposal) ?? []
    for (const copy of copies) {
      if (input.type === 'status') continue
      if (!dice.chance(this.#habits.deafness)) copy.step(input)
    }
    const past = this.#history.get(proposal) ?? []
    if (
      copies.length > 0 &&
      copies.length < this.#habits.copies &&
      past.length > 0 &&
      dice.chance(this.#habits.forking)
    )
      this.#start(proposal, dice.pick(past))
  }

  /** Signs what helps others to contradict each other. */
  #overhear(proposal: Proposal, signed: Uint8Array): void {
    const { dice } = this.#world
    const { name, view, from } = headOf(signed)
    if (from === this.index) return
    if ((name === 'propose' || name === 'vote') && dice.chance(this.#habits.votesForAll)) {
      const outcome = outcomeNamedBy(proposal, decodeSigned(signed))
      const key = `${proposal.key}/${view}/${outcome && bytesKey(outcome)}`
      if (outcome === undefined || this.#supported.has(key) || this.#supported.size > 60) return
      this.#supported.add(key)
      for (const message of this.#lies.support(proposal, view, outcome)) this.#tell(proposal, message, 0.7)
    }
    if (name === 'deal') this.#lies.overhearDeal(proposal, decodeSigned(signed))
    if (name === 'deal' && dice.chance(this.#habits.falseComplaints)) {
      const complaint = this.#lies.complaint(proposal, decodeSigned(signed))
      if (complaint !== undefined) this.#tell(proposal, complaint, 0.8)
    }
  }

  #tell(proposal: Proposal, signed: Uint8Array, chance: number): void {
    for (const other of this.#world.receivers(proposal, this.index, 'all'))
      if (this.#world.dice.chance(chance))
        this.#world.transmit(this.index, other, proposal, { type: 'message', signed })
  }

  perform(instance: Instance, effect: CeremonyEffect): boolean {
    const world = this.#world
    const { proposal } = instance
    const send = (to: 'all' | ParticipantIndex, input: CeremonyInput): void => {
      for (const other of world.receivers(proposal, this.index, to)) this.#send(instance, other, input)
    }
    switch (effect.type) {
      case 'persist':
        this.#remember(
          proposal,
          effect.snapshot.use((bytes) => bytes),
        )
        return true
      case 'need-seeds': {
        const input = this.#drawSeeds(instance, effect)
        world.after(1, () => instance.step(input))
        return true
      }
      case 'send':
        send(effect.to, { type: 'message', signed: effect.signed })
        return true
      case 'send-certificate':
        send(effect.to, { type: 'certificate', certificate: effect.certificate })
        return true
      case 'send-status': {
        const { messages, cert1 } = effect
        send(effect.to, { type: 'status', from: this.index, messages, ...(cert1 && { cert1 }) })
        return true
      }
      case 'ask-status':
        // It tells itself that nobody knows anything.
        for (const from of world.receivers(proposal, this.index, 'all'))
          world.after(1, () => instance.step({ type: 'status', from, messages: [] }))
        return true
      case 'fetch': {
        const { sid, dealer, dealHash } = effect
        send(effect.to, { type: 'fetch', from: this.index, sid, dealer, dealHash })
        return true
      }
      case 'start-timer':
        world.startTimer(instance, { type: 'timer', name: effect.name, view: effect.view }, effect.ms)
        return true
      case 'stop-timer':
        instance.timers.delete(effect.name)
        return true
      case 'complete':
        world.after(5, () => instance.step({ type: 'stored' }))
        return true
      case 'abandon-refused':
      case 'abandoned':
      case 'archive':
      case 'fault':
      case 'progress':
      case 'rolled-back':
      case 'view-failed':
        return true
    }
  }

  #send(instance: Instance, to: ParticipantIndex, input: CeremonyInput): void {
    const { dice } = this.#world
    const { proposal } = instance
    const chosen = this.#audience.get(to)
    if (chosen !== undefined && chosen !== instance.copy) return
    const name = nameOf(input)
    if (dice.chance(this.#habits.mutes[name] ?? 0)) return
    if (input.type !== 'message' || headOf(input.signed).from !== this.index)
      return this.#world.transmit(this.index, to, proposal, input)
    const signed = this.#lies.instead(proposal, input.signed)
    this.#world.transmit(this.index, to, proposal, { type: 'message', signed })
  }

  #remember(proposal: Proposal, snapshot: Uint8Array): void {
    const past = this.#history.get(proposal) ?? []
    this.#history.set(proposal, [...past.slice(-HISTORY), snapshot])
  }

  #drawSeeds(instance: Instance, wanted: Extract<CeremonyEffect, { type: 'need-seeds' }>): CeremonyInput {
    const { proposal } = instance
    const { scenario, old } = this.#world
    const input = drawSeeds(instance, wanted, `${scenario.seed}/${this.#seeds++}`, old?.shares.get(this.index))
    input.receiver?.use((seed) => this.#lies.learnReceiver(proposal, wanted.view, Uint8Array.from(seed)))
    return input
  }
}

function outcomeNamedBy(proposal: Proposal, message: SignedMessage): Uint8Array | undefined {
  try {
    return message.header.name === 'vote'
      ? decodeVote(message.payload).outcomeHash
      : outcomeHash(decodePropose(proposal.parties, message.payload).outcome)
  } catch {
    // Another liar's nonsense.
    return undefined
  }
}
