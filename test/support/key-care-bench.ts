import { decodeDestroyMessage, type ParticipantIndex, Secret, type SignMessage } from '@tkms/dkg'
import { createDestroyService, type DestroyService } from '../../packages/kms-node/src/destroy/service.ts'
import type { CeremonyFrame } from '../../packages/kms-node/src/net/ceremony-frame.ts'
import { createRepairService, type RepairService } from '../../packages/kms-node/src/repair/service.ts'
import { systemClock, systemRng } from '../../packages/kms-node/src/system.ts'
import type { HandMade } from './hand-made.ts'
import { createKeyBench, install, type KeyBench, type KeyNode, sharingOf } from './key-bench.ts'
import { type Committee, fastCurve, type Identity } from './simulated-committee.ts'

/** Nodes that repair and destroy: the real services over the real keeper and store, on disks in memory that can lose power at any step. */

/** Where the victim dies. `synced`: what was not synced is lost with it. */
export type Death =
  | { readonly kind: 'disk'; readonly step: number; readonly survives: 'synced' | 'everything' }
  | { readonly kind: 'send'; readonly send: number; readonly behind: boolean }

export interface SentFrame {
  readonly from: number
  readonly to: number
  readonly frame: CeremonyFrame
}

export class CareNode {
  readonly identity: Identity
  readonly bench: KeyBench
  readonly #world: CareWorld
  /** Steps of the disk and sends since `arm`. */
  sends = 0
  lives = 0
  dead = false
  events: string[] = []
  key!: KeyNode
  repairs!: RepairService
  destroys!: DestroyService
  #death: Death | undefined
  #firstStep = 0

  constructor(world: CareWorld, identity: Identity, bench: KeyBench) {
    this.#world = world
    this.identity = identity
    this.bench = bench
  }

  get steps(): number {
    return this.bench.disk.steps - this.#firstStep
  }

  /** Counts from here on; it dies where `death` says. */
  arm(death?: Death): void {
    this.sends = 0
    this.#firstStep = this.bench.disk.steps
    this.#death = death
    if (death?.kind === 'disk') this.bench.disk.failFrom(this.#firstStep + death.step)
  }

  async start(): Promise<void> {
    this.lives++
    this.dead = false
    this.key = await this.bench.start()
    const { keeper, records: store } = this.key
    const self = this.identity.index as unknown as ParticipantIndex
    const log = (_fields: unknown, event: string): void => void this.events.push(event)
    const common = {
      self,
      sign: this.identity.sign as SignMessage,
      store,
      network: {
        connected: [],
        send: (to: number, frame: CeremonyFrame) => this.#send(to, frame),
        broadcast: (frame: CeremonyFrame) => {
          for (const node of this.#world.nodes) if (node !== this) this.#send(node.identity.index, frame)
        },
      },
      clock: systemClock,
      timings: { retransmitMs: 5, retransmitMaxMs: 20 },
      log: { info: log, warn: log, error: log },
      nameOf: (index: number) => `node-${index}`,
    }
    this.repairs = createRepairService({
      ...common,
      curve: fastCurve as never,
      rng: systemRng,
      nodeSeed: new Secret(systemRng.bytes(32)),
      evidenceDirectory: '/nowhere',
      dataDir: '/nowhere',
      keys: {
        list: () =>
          keeper
            .list()
            .flatMap(({ destroyedAtMs, sharings }) =>
              destroyedAtMs === undefined ? sharings.slice(0, 1).map(({ sharing }) => sharing) : [],
            ),
        copyShare: (sharingId) => keeper.copyShare(sharingId),
        repaired: (sharingId, share) => keeper.repaired(sharingId, share),
      },
    })
    this.destroys = createDestroyService({
      ...common,
      ceremonies: { undecidedOf: () => undefined, forgetKey: async () => undefined },
      keys: {
        list: () =>
          keeper
            .list()
            .map(({ sharings, ...life }) => ({ ...life, sharings: sharings.map(({ sharing }) => sharing.key) })),
        destroyKey: (keyId, order) => keeper.destroyKey(keyId, order),
      },
    })
    await this.destroys.start()
    await this.repairs.start()
  }

  /** The process is gone, its disk without power; then it starts again on what the disk kept. */
  async restart(): Promise<void> {
    const death = this.#death
    this.#death = undefined
    await this.end()
    this.bench.disk.restart(death?.kind === 'disk' ? death.survives : 'synced')
    await this.start()
  }

  async end(): Promise<void> {
    this.dead = true
    await Promise.all([this.repairs.stop(), this.destroys.stop()])
    await this.key.end().catch(() => undefined)
  }

  /** Whether the power went: everything it does from then on never happened. */
  isDead(): boolean {
    if (this.#death?.kind === 'disk' && this.steps > this.#death.step) this.dead = true
    return this.dead
  }

  hasShare(made: HandMade): boolean {
    const copy = this.key.keeper.copyShare(sharingOf(made))
    copy?.destroy()
    return copy !== undefined
  }

  #send(to: number, frame: CeremonyFrame): boolean {
    if (this.isDead()) return false
    const number = this.sends++
    const dies = this.#death?.kind === 'send' && this.#death.send === number ? this.#death : undefined
    if (dies === undefined || dies.behind) this.#world.deliver(this, to, frame)
    if (dies !== undefined) {
      this.dead = true
      this.bench.disk.failFrom(0)
    }
    return true
  }
}

export class CareWorld {
  readonly nodes: CareNode[] = []
  readonly frames: SentFrame[] = []
  /** What must hold whenever something is sent. */
  onSent: ((from: CareNode, frame: CeremonyFrame) => void) | undefined

  static async create(committee: Committee, made: HandMade, without: readonly number[]): Promise<CareWorld> {
    const world = new CareWorld()
    for (const identity of committee.identities) {
      const node = new CareNode(world, identity, await createKeyBench(committee, identity))
      await node.start()
      const has = !without.includes(identity.index)
      if (has) await install(node.key, made, identity)
      else await node.key.keeper.install(made.bytes, undefined, { approvedHere: false, mayErase: true })
      world.nodes.push(node)
    }
    return world
  }

  node(index: number): CareNode {
    const found = this.nodes[index - 1]
    if (found === undefined) throw new Error(`there is no node ${index}`)
    return found
  }

  deliver(from: CareNode, to: number, frame: CeremonyFrame): void {
    this.onSent?.(from, frame)
    this.frames.push({ from: from.identity.index, to, frame: copyOf(frame) })
    const peer = this.nodes.find(({ identity }) => identity.index === to)
    const copy = copyOf(frame)
    setImmediate(() => {
      if (peer === undefined || peer.isDead()) return
      if (copy.type === 'repair') peer.repairs.onFrame(from.identity.index as never, copy.message)
      if (copy.type === 'destroy') peer.destroys.onFrame(from.identity.index as never, copy.message)
    })
  }

  /** Lets time pass until `done`, restarting who died. `operate` is what the operators do, `holds` what is true of every node all the time. */
  async run(
    operate: (node: CareNode) => Promise<void>,
    done: () => boolean,
    holds: (node: CareNode) => void,
  ): Promise<void> {
    for (let tick = 0; tick < 2_000; tick++) {
      for (const node of this.nodes) {
        if (node.isDead()) await node.restart()
        holds(node)
        // What the operator is told when the node dies under it matters to nobody.
        await operate(node).catch(() => undefined)
      }
      if (done()) return
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    const stands = this.nodes.map(({ events, repairs, destroys }) => ({
      events,
      repairs: repairs.list(),
      destroys: destroys.list(),
    }))
    throw new Error(`it does not come to an end: ${JSON.stringify(stands)}`)
  }

  async remove(): Promise<void> {
    for (const node of this.nodes) {
      await node.end()
      await node.bench.remove()
    }
  }
}

const copyOf = (frame: CeremonyFrame): CeremonyFrame =>
  frame.type === 'repair' || frame.type === 'destroy' ? { ...frame, message: Uint8Array.from(frame.message) } : frame

export const isReceipt = (frame: CeremonyFrame): boolean =>
  frame.type === 'destroy' && decodeDestroyMessage(frame.message).kind === 'receipt'
