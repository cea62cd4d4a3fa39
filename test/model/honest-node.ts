import { memberAt } from '../../packages/dkg/src/ceremony/config.ts'
import type { CeremonyEffect, CeremonyInput } from '../../packages/dkg/src/ceremony/engine-types.ts'
import * as slots from '../../packages/dkg/src/ceremony/slot.ts'
import { bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import type { ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'
import { copyDisk, type Disk, emptyDisk, eraseOld, holdsShare, noteAbandon, sharingOf } from './disk.ts'
import { drawSeeds, type Host, Instance } from './instance.ts'
import type { Witness } from './observer.ts'
import type { Proposal } from './proposal.ts'
import { abandonOn, answerLate, authorizeOn, beginOn } from './registry.ts'
import { describe, headOf } from './wire.ts'
import type { Citizen, World } from './world.ts'

/** Messages kept for a ceremony that this node has not begun. */
const WAITING_ROOM = 60

/** A node that keeps to the rules: driver, slot and key store around the engines, as a pure model. */
export class HonestNode implements Citizen, Host {
  readonly index: ParticipantIndex
  disk: Disk
  readonly live = new Map<Proposal, Instance>()
  readonly refused = new Set<Proposal>()
  readonly #world: World
  readonly #observer: Witness
  readonly #waiting = new Map<Proposal, CeremonyInput[]>()
  /** Earlier disks, kept by a node that is going to be rolled back. */
  readonly #history: Disk[] | undefined
  #isUp = true
  #seeds = 0

  constructor(world: World, observer: Witness, index: ParticipantIndex, keepsHistory = false) {
    this.#world = world
    this.#history = keepsHistory ? [] : undefined
    this.#observer = observer
    this.index = index
    this.disk = emptyDisk(world.old?.shares.get(index))
  }

  /** The operator agrees to X, and to a degraded AUTH where the story needs one. False: try again later. */
  approve(proposal: Proposal, approval: 'plain' | 'degraded'): boolean {
    if (!this.#isUp) return false
    const { disk } = this
    const step = slots.approve(disk.slot, proposal.spec, approval)
    if ('refusal' in step) return step.refusal !== 'attempt-open'
    disk.slot = step.state
    this.#world.say(this.index, () => `approves ${proposal.plan.name}`)
    if (proposal.spec.kind === 'reshare' && memberAt(proposal.spec.oldConfig, this.index) !== undefined)
      this.#authorize(proposal)
    this.begin(proposal)
    return true
  }

  /** One AUTH per (slot, attempt), durable before it leaves the node; it gives up every lower attempt. */
  #authorize(proposal: Proposal): void {
    const { disk } = this
    const made = authorizeOn(this.#world.kit, disk, proposal, this.index)
    if (made === undefined) return
    this.#supersede()
    this.#world.say(this.index, () => `authorizes ${proposal.plan.name}`)
    this.#observer.authorized(this.index, proposal)
    proposal.authorizations.set(this.index, made)
    for (const other of this.#world.receivers(proposal, this.index, 'all'))
      this.#world.after(1 + this.#world.dice.next() * 40, () => {
        const citizen = this.#world.citizens.get(other)
        if (citizen instanceof HonestNode) citizen.begin(proposal)
      })
  }

  /** Starts to act in X once the rules of the slot allow it. */
  begin(proposal: Proposal): void {
    const { disk } = this
    if (!this.#isUp || disk.begun.has(proposal) || disk.archives.has(proposal)) return
    if (!beginOn(this.#world.kit, disk, proposal)) return
    this.#supersede()
    this.#open(proposal)
  }

  #open(proposal: Proposal): void {
    const { disk } = this
    disk.begun.add(proposal)
    const instance = new Instance(this.#world, this, proposal, this.index)
    this.live.set(proposal, instance)
    this.#world.say(this.index, () => `${disk.snapshots.has(proposal) ? 'resumes' : 'opens'} ${proposal.plan.name}`)
    instance.start(disk.snapshots.get(proposal))
    if (slots.superseded(disk.slot, proposal.spec)) instance.step({ type: 'supersede' })
    if (slots.slotEntry(disk.slot, proposal.ceremony)?.abandoned === true) instance.step({ type: 'abandon' })
    const waiting = this.#waiting.get(proposal) ?? []
    this.#waiting.delete(proposal)
    for (const input of waiting) instance.step(input)
  }

  #supersede(): void {
    for (const [proposal, instance] of this.live)
      if (slots.superseded(this.disk.slot, proposal.spec)) instance.step({ type: 'supersede' })
  }

  /** The operator gives X up. */
  abandon(proposal: Proposal): void {
    const { disk } = this
    if (!this.#isUp || disk.archives.has(proposal)) return
    if (!abandonOn(disk, proposal, this.index)) return
    this.#world.say(this.index, () => `operator abandons ${proposal.plan.name}`)
    if (disk.begun.has(proposal)) this.live.get(proposal)?.step({ type: 'abandon' })
    else this.#open(proposal)
  }

  receive(from: ParticipantIndex, proposal: Proposal, input: CeremonyInput): void {
    if (!this.#isUp) return
    const instance = this.live.get(proposal)
    if (input.type === 'message' && headOf(input.signed).name === 'abandon') this.#note(proposal, input.signed)
    if (instance !== undefined) {
      this.#world.say(this.index, () => `takes ${describe(input)} from ${from}`)
      instance.step(input)
    } else this.#answerWithoutEngine(from, proposal, input)
  }

  #answerWithoutEngine(from: ParticipantIndex, proposal: Proposal, input: CeremonyInput): void {
    const answer = answerLate(this.disk, proposal, this.index, input)
    if (answer === 'abandons') return this.#tellAbandons(from, proposal)
    if (answer !== 'wait') {
      if (answer !== undefined) this.#world.transmit(this.index, from, proposal, answer)
      return
    }
    const waiting = this.#waiting.get(proposal) ?? []
    if (waiting.length < WAITING_ROOM) this.#waiting.set(proposal, [...waiting, input])
  }

  greet(peer: ParticipantIndex): void {
    for (const instance of this.live.values()) instance.step({ type: 'peer-connected', peer })
  }

  crash(downMs: number): void {
    this.#world.say(this.index, () => 'crashes')
    this.#isUp = false
    for (const instance of this.live.values()) instance.alive = false
    this.live.clear()
    this.#waiting.clear()
    this.#world.after(downMs, () => this.restart())
  }

  /** Somebody restores an old backup. */
  rollBack(): void {
    const earlier = this.#history?.splice(this.#world.dice.below(this.#history.length + 1))[0]
    if (this.#isUp) this.crash(100)
    if (earlier !== undefined) this.disk = copyDisk(earlier)
    this.#world.say(this.index, () => 'is rolled back')
  }

  /** Whether a share of this outcome would survive a crash right now. */
  holds(proposal: Proposal, outcome: string): boolean {
    return holdsShare(this.#world.kit.curve, this.disk, proposal, outcome)
  }

  restart(): void {
    if (this.#isUp) return
    this.#world.say(this.index, () => 'restarts')
    this.#isUp = true
    for (const proposal of this.disk.begun) {
      if (!this.#isUp) return
      this.#open(proposal)
    }
  }

  perform(instance: Instance, effect: CeremonyEffect): boolean {
    const { scenario, dice, isCalm } = this.#world
    if (!isCalm && dice.chance(scenario.crashes)) {
      this.crash(dice.pick([10, 300, 5_000, 30_000]))
      return false
    }
    this.#carryOut(instance, effect)
    return true
  }

  #carryOut(instance: Instance, effect: CeremonyEffect): void {
    const world = this.#world
    const { proposal } = instance
    const send = (to: 'all' | ParticipantIndex, input: CeremonyInput): void => {
      for (const other of world.receivers(proposal, this.index, to)) world.transmit(this.index, other, proposal, input)
    }
    switch (effect.type) {
      case 'persist':
        this.disk.snapshots.set(
          proposal,
          effect.snapshot.use((bytes) => bytes),
        )
        this.#history?.push(copyDisk(this.disk))
        return
      case 'need-seeds': {
        const label = `${world.scenario.seed}/${this.#seeds++}`
        const input = drawSeeds(instance, effect, label, this.disk.oldShare)
        return world.after(1, () => instance.step(input))
      }
      case 'send':
        world.say(this.index, () => `sends ${describe({ type: 'message', signed: effect.signed })} to ${effect.to}`)
        if (headOf(effect.signed).from === this.index) this.#keepPromise(proposal, effect.signed)
        return send(effect.to, { type: 'message', signed: effect.signed })
      case 'send-certificate':
        return send(effect.to, { type: 'certificate', certificate: effect.certificate })
      case 'ask-status':
        return send(effect.to, { type: 'status-request', from: this.index })
      case 'send-status': {
        const { messages, cert1 } = effect
        return send(effect.to, { type: 'status', from: this.index, messages, ...(cert1 && { cert1 }) })
      }
      case 'fetch': {
        const { sid, dealer, dealHash } = effect
        return send(effect.to, { type: 'fetch', from: this.index, sid, dealer, dealHash })
      }
      case 'start-timer':
        return world.startTimer(instance, { type: 'timer', name: effect.name, view: effect.view }, effect.ms)
      case 'stop-timer':
        return void instance.timers.delete(effect.name)
      case 'fault':
        return this.#observer.fault(this.index, proposal, effect.fault)
      case 'complete':
        return this.#install(instance, effect)
      case 'archive':
        this.disk.archives.set(proposal, { certificate: effect.certificate, dealings: effect.dealings })
        return this.#close(instance)
      case 'abandon-refused':
        return void this.refused.add(proposal)
      case 'abandoned':
        world.say(this.index, () => `sees ${proposal.plan.name} decided against`)
        this.#observer.decidedAgainst(this.index, proposal)
        this.disk.slot = stateOf(slots.decideAgainst(this.disk.slot, proposal.spec))
        return this.#close(instance)
      case 'view-failed':
        return world.say(this.index, () => `view ${effect.view} failed: ${effect.reason}`)
      case 'rolled-back':
        return this.#observer.toldRolledBack(this.index, proposal)
      case 'progress':
        return
    }
  }

  #keepPromise(proposal: Proposal, signed: Uint8Array): void {
    this.#observer.sent(this.index, proposal, signed)
    if (headOf(signed).name === 'abandon') this.#note(proposal, signed)
  }

  /** The book of ABANDONs travels as one frame, and is not answered. */
  #tellAbandons(to: ParticipantIndex, proposal: Proposal): void {
    const world = this.#world
    const book = [...(this.disk.abandons.get(proposal)?.values() ?? [])]
    if (!world.isCalm && world.dice.chance(world.scenario.net.loss)) return
    world.after(1 + world.dice.next() * 40, () => {
      const peer = world.citizens.get(to)
      if (peer instanceof HonestNode && peer.#isUp) peer.#learnAbandons(proposal, book)
    })
  }

  #learnAbandons(proposal: Proposal, book: readonly Uint8Array[]): void {
    for (const signed of book) {
      this.#note(proposal, signed)
      this.live.get(proposal)?.step({ type: 'message', signed })
    }
  }

  #note(proposal: Proposal, signed: Uint8Array): void {
    noteAbandon(this.#world.kit, this.disk, proposal, signed)
  }

  #install(instance: Instance, { certificate, share }: Extract<CeremonyEffect, { type: 'complete' }>): void {
    const world = this.#world
    const { proposal } = instance
    const sharingId = sharingOf(world.kit.curve, certificate)
    const kept = share?.use((bytes) => Uint8Array.from(bytes))
    world.say(this.index, () => `completes ${proposal.plan.name} ${kept === undefined ? 'without' : 'with'} its share`)
    const id = bytesKey(sharingId)
    this.disk.shares.set(id, { proposal, certificate, share: kept ?? this.disk.shares.get(id)?.share })
    this.disk.slot = stateOf(slots.certify(this.disk.slot, proposal.spec, sharingId))
    this.#observer.completed(this.index, proposal, certificate, kept)
    world.after(5, () => instance.step({ type: 'stored' }))
    world.after(world.dice.next() * 2_000, () => this.eraseWhatMayBe())
  }

  #close(instance: Instance): void {
    const { proposal } = instance
    this.#world.mayBeOver = true
    instance.alive = false
    if (this.live.get(proposal) === instance) this.live.delete(proposal)
    this.disk.snapshots.delete(proposal)
    this.disk.begun.delete(proposal)
  }

  eraseWhatMayBe(): void {
    const because = eraseOld(this.#world.kit, this.disk)
    if (because === undefined) return
    this.#world.say(this.index, () => `erases what ${because.plan.name} replaces`)
    this.#observer.erased(this.index, because)
  }
}

function stateOf(step: slots.SlotStep): slots.SlotState {
  if ('refusal' in step) throw new Error(`the slot refuses what it has to take: ${step.refusal}`)
  return step.state
}
