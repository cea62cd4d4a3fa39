import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  bytesKey,
  type CeremonyEffect,
  type CeremonyInput,
  type CeremonyParams,
  configHash,
  createCeremonyEngine,
  type ParticipantIndex,
  Secret,
} from '@tkms/dkg'
import { decodeCertificate } from '../../packages/dkg/src/ceremony/certificate.ts'
import { signAuthorization } from '../../packages/dkg/src/ceremony/authorization.ts'
import { decodeComplain } from '../../packages/dkg/src/ceremony/messages.ts'
import { decodeSigned } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import { bytesOf } from '../support/simulated-committee.ts'
import { sharingOf } from './disk.ts'
import { EventQueue } from './event-queue.ts'
import { kitOf } from './identities.ts'
import { MODEL_TIMINGS } from './instance.ts'
import { createOldSharing, createProposal, type OldSharing, type Proposal } from './proposal.ts'
import { GRACE_MS, SweptNode } from './swept-node.ts'
import { inputOf } from './sweep-wire.ts'
import { headOf } from './wire.ts'

/** Where the power goes: before that change of the disk, or on that side of that send. */
export type Kill =
  | { readonly at: 'disk'; readonly step: number; readonly survives: 'synced' | 'everything' }
  | { readonly at: 'send'; readonly number: number; readonly side: 'before' | 'after' }

export interface SweepCase {
  readonly kind: 'keygen' | 'reshare'
  readonly victim: number
  readonly seed: number
  readonly kill?: Kill
}

export interface SweepResult {
  readonly problems: readonly string[]
  /** Changes of the victim's disk and sends of the victim in this run. */
  readonly diskSteps: number
  readonly sends: number
  readonly killed: boolean
}

class PowerCut extends Error {}

const OLD = { members: [1, 2, 3, 4], t: 2 }
/** Node 4 leaves, node 5 comes. */
const NEXT = { members: [1, 2, 3, 5], t: 2 }
const kit = kitOf('cheap')
/** Far beyond what the run needs: four nodes with a calm network. */
const LAST_MS = 600_000

/** One ceremony of four nodes over the production stores; the power of one of them goes once, and comes back. */
export async function runSweep(sweep: SweepCase): Promise<SweepResult> {
  const folder = mkdtempSync(join(tmpdir(), 'tkms-sweep-'))
  try {
    return await new Sweep(sweep, folder).run()
  } finally {
    rmSync(folder, { recursive: true })
  }
}

class Sweep {
  readonly #sweep: SweepCase
  readonly #proposal: Proposal
  readonly #old: OldSharing | undefined
  readonly #nodes = new Map<number, SweptNode>()
  readonly #queue = new EventQueue<() => Promise<void>>()
  readonly #problems: string[] = []
  #nowMs = 0
  #randomness = 0
  #sends = 0
  #killed = false
  #diskStart = 0

  constructor(sweep: SweepCase, folder: string) {
    this.#sweep = sweep
    const { seed } = sweep
    this.#old = sweep.kind === 'reshare' ? createOldSharing(kit, seed, OLD) : undefined
    const plan = { name: 'x', attempt: 0, notAfter: 4_000_000_000, approvals: new Map<number, number>() }
    const committees = this.#old === undefined ? { next: OLD } : { old: OLD, next: NEXT }
    this.#proposal = createProposal(kit, seed, { ...plan, ...committees }, this.#old)
    const { spec, everybody } = this.#proposal
    if (spec.kind === 'reshare')
      for (const { index } of spec.oldConfig.members)
        this.#proposal.authorizations.set(index, signAuthorization(kit.identity(index).sign, spec, index))
    for (const index of everybody) this.#nodes.set(index, this.#createNode(index, join(folder, String(index))))
  }

  #createNode(index: number, directory: string): SweptNode {
    const { spec, ceremony, authorizations } = this.#proposal
    const identity = kit.identity(participantIndex(index))
    mkdirSync(directory)
    const old = this.#old
    const share = old?.shares.get(index)
    const rng = { bytes: (length: number) => this.#bytes(length) }
    // The packages' types come from their builds: same shape, other brands.
    const params = {
      spec,
      self: index,
      timings: MODEL_TIMINGS,
      ...(old && { previous: old.key, authorizations: [...authorizations.values()] }),
    } as unknown as CeremonyParams
    const node: SweptNode = new SweptNode({
      params,
      engine: createCeremonyEngine({ curve: kit.curve, sign: identity.sign, verify: kit.verify } as never),
      curve: kit.curve as never,
      verify: kit.verify as never,
      identity: identity.publicKey as never,
      pinned: configHash((old?.key.config ?? spec.newConfig) as never),
      ceremony: ceremony as never,
      directory,
      clock: { nowMs: () => 1_800_000_000_000 + this.#nowMs, monotonicMs: () => this.#nowMs },
      rng,
      ...(old && { before: { certificate: old.key.certificate, share } }),
      ...(old && { oldSharing: old.key.sharingId as never }),
      drawSeed: (use) => new Secret(bytesOf('sweep', use, this.#sweep.seed, index, this.#randomness++)),
      send: (effect) => this.#send(index, effect),
      later: (ms, input) => this.#later(node, ms, input),
    })
    return node
  }

  #bytes(length: number): Uint8Array {
    const blocks = Array.from({ length: Math.ceil(length / 32) }, () => bytesOf('sweep rng', this.#randomness++))
    return Uint8Array.from(blocks.flatMap((block) => [...block])).subarray(0, length)
  }

  /** To this life of the node only. */
  #later(node: SweptNode, ms: number, input: CeremonyInput): void {
    const { life } = node
    this.#queue.push(this.#nowMs + ms, async () => {
      if (node.isUp && node.life === life) await this.#guard(node, () => node.step(input))
    })
  }

  async run(): Promise<SweepResult> {
    for (const node of this.#nodes.values()) await this.#guard(node, () => node.boot())
    const victim = this.#victim
    this.#diskStart = victim.disk.steps
    const { kill } = this.#sweep
    if (kill?.at === 'disk') victim.disk.failFrom(this.#diskStart + kill.step)
    await this.#drain()
    await this.#retire()
    // Running time that was not saved counts again.
    await this.#retire()
    // The last thing to fail was one that the store does without: the power is gone all the same.
    if (kill !== undefined && !this.#killed) await this.#guard(victim, () => Promise.reject(new PowerCut()))
    await this.#drain()
    await this.#checkEnd()
    return {
      problems: this.#problems,
      diskSteps: victim.disk.steps - this.#diskStart,
      sends: this.#sends,
      killed: this.#killed,
    }
  }

  /** The grace passes, and every node erases what is due. */
  async #retire(): Promise<void> {
    this.#nowMs += 2 * GRACE_MS
    const nodes = [...this.#nodes.values()]
    for (const node of nodes) if (node.isUp) await this.#guard(node, () => node.retire(nodes))
    await this.#drain()
  }

  get #victim(): SweptNode {
    const node = this.#nodes.get(this.#sweep.victim)
    if (node === undefined) throw new RangeError('the victim takes part')
    return node
  }

  async #drain(): Promise<void> {
    const endMs = this.#nowMs + LAST_MS
    for (;;) {
      if ([...this.#nodes.values()].every(({ isDone }) => isDone)) return
      const next = this.#queue.pop()
      if (next === undefined || next.atMs > endMs) return void this.#problems.push('the ceremony does not end')
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      await next.item()
    }
  }

  /** Does something at a node; where its power goes in the middle, it comes back half a second later. */
  async #guard(node: SweptNode, action: () => Promise<void>): Promise<void> {
    try {
      await action()
    } catch (cause) {
      const isStore = typeof cause === 'object' && cause !== null && 'code' in cause
      if (node !== this.#victim || this.#killed || !(isStore || cause instanceof PowerCut)) throw cause
      this.#killed = true
      const { kill } = this.#sweep
      await node.powerCut(kill?.at === 'disk' ? kill.survives : 'synced')
      this.#queue.push(this.#nowMs + 500, () => this.#reboot(node))
    }
  }

  async #reboot(node: SweptNode): Promise<void> {
    await node.boot()
    await this.#checkInstant()
    for (const [index, other] of this.#nodes)
      if (other !== node && other.isUp) {
        this.#later(other, 1, { type: 'peer-connected', peer: this.#sweep.victim as ParticipantIndex })
        this.#later(node, 1, { type: 'peer-connected', peer: index as ParticipantIndex })
      }
  }

  #send(from: number, effect: CeremonyEffect): void {
    const input = inputOf(from, effect)
    if (input === undefined || !('to' in effect)) return
    const node = this.#nodes.get(from)
    if (node === undefined) return
    const { kill } = this.#sweep
    const number = node === this.#victim ? this.#sends++ : -1
    const dies = kill?.at === 'send' && kill.number === number && !this.#killed
    if (dies && kill.side === 'before') throw new PowerCut()
    if (input.type === 'message' && headOf(input.signed).from === from) node.sent.push(input.signed)
    for (const [index, other] of this.#nodes)
      if (index !== from && (effect.to === 'all' || effect.to === index)) this.#deliver(from, other, input)
    if (dies) throw new PowerCut()
  }

  #deliver(from: number, node: SweptNode, input: CeremonyInput): void {
    this.#queue.push(this.#nowMs + 5, async () => {
      if (!node.isUp) return
      if (!node.isDone) return this.#guard(node, () => node.step(input))
      const archive = await node.archive()
      const asker = this.#nodes.get(from)
      if (archive === undefined || asker === undefined || input.type === 'certificate') return
      const { certificate, dealings } = archive
      const dealing =
        input.type === 'fetch' && dealings.find(({ dealHash }) => bytesKey(dealHash) === bytesKey(input.dealHash))
      this.#deliver(
        node.ports.params.self,
        asker,
        dealing ? { type: 'message', signed: dealing.signed } : { type: 'certificate', certificate },
      )
    })
  }

  /** At least t nodes can decrypt under one sharing: the old one, or one that is certified or may be. */
  async #checkInstant(): Promise<void> {
    const held = await Promise.all([...this.#nodes.values()].map((node) => node.holds()))
    const counts = new Map<string, number>()
    for (const set of held) for (const id of set) counts.set(id, (counts.get(id) ?? 0) + 1)
    const enough = [...counts.values()].some((count) => count >= 2)
    const anyDone = [...this.#nodes.values()].some(({ isDone }) => isDone)
    if (!enough && (this.#old !== undefined || anyDone)) this.#problems.push('nobody can decrypt after the restart')
  }

  async #checkEnd(): Promise<void> {
    this.#checkSlots()
    await this.#checkInstant()
    const [first] = await Promise.all([...this.#nodes.values()].map((node) => node.archive()))
    if (first === undefined) return void this.#problems.push('no certificate')
    const sharing = sharingOf(kit.curve, first.certificate)
    const { newConfig } = decodeCertificate(kit.curve, first.certificate).spec
    for (const [index, node] of this.#nodes) {
      const archive = await node.archive()
      if (archive === undefined || bytesKey(sharingOf(kit.curve, archive.certificate)) !== bytesKey(sharing))
        this.#problems.push(`node ${index} ended with another outcome`)
      const isMember = newConfig.members.some((member) => member.index === participantIndex(index))
      if (isMember && node.newShare(sharing as never) === undefined && node !== this.#victim)
        this.#problems.push(`node ${index} ended without its share`)
      const old = this.#old && (await node.holds()).has(bytesKey(this.#old.key.sharingId))
      if (old === true && (node.newShare(sharing as never) !== undefined || !isMember))
        this.#problems.push(`node ${index} still holds its old share`)
    }
  }

  #checkSlots(): void {
    for (const [index, { sent }] of this.#nodes) {
      const slots = new Map<string, string>()
      for (const signed of sent) {
        const { header, payload } = decodeSigned(signed)
        const accused = header.name === 'complain' ? decodeComplain(kit.curve, payload).dealer : ''
        const slot = `${header.name}/${header.view}/${accused}`
        const before = slots.get(slot)
        if (before !== undefined && before !== bytesKey(signed))
          this.#problems.push(`node ${index} signed two messages for ${slot}`)
        slots.set(slot, bytesKey(signed))
      }
    }
  }
}
