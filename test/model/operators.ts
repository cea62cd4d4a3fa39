import { memberAt } from '../../packages/dkg/src/ceremony/config.ts'
import { slotEntry } from '../../packages/dkg/src/ceremony/slot.ts'
import type { HonestNode } from './honest-node.ts'
import type { Observer } from './observer.ts'
import type { Proposal } from './proposal.ts'
import type { World } from './world.ts'

/** How often operators look at what became of their ceremonies once the network is calm. */
const LOOK_MS = 2_000
/** How long they wait for an attempt that cannot be given up before they go over it: four view timers of view 0. */
const PATIENCE_MS = 30_000

/** The people of the honest nodes: they approve, lose patience, restart nodes, and see when a run is over. */
export class Operators {
  readonly #world: World
  readonly #observer: Observer
  readonly #nodes: readonly HonestNode[]
  readonly #approved = new Set<string>()

  constructor(world: World, observer: Observer, nodes: readonly HonestNode[]) {
    this.#world = world
    this.#observer = observer
    this.#nodes = nodes
  }

  begin(): void {
    const { scenario, proposals } = this.#world
    for (const proposal of proposals)
      for (const [index, atMs] of proposal.plan.approvals)
        this.#world.at(atMs, () => this.#approveOnce(proposal, index))
    for (const [index, atMs] of scenario.impatience)
      this.#world.at(atMs, () => {
        const [first] = proposals
        if (first !== undefined) this.#nodes.find((node) => node.index === index)?.abandon(first)
      })
    this.#world.at(scenario.calmMs, () => this.#calm())
  }

  /** A node that is down, or whose slot is not free yet, is asked again. */
  #approveOnce(proposal: Proposal, index: number): void {
    const node = this.#nodes.find((candidate) => candidate.index === index)
    if (node === undefined || this.#approved.has(`${proposal.key}/${index}`)) return
    const approval = this.#world.scenario.story === 'degraded' ? 'degraded' : 'plain'
    if (node.approve(proposal, approval)) this.#approved.add(`${proposal.key}/${index}`)
    else this.#world.after(LOOK_MS, () => this.#approveOnce(proposal, index))
  }

  #calm(): void {
    this.#world.say('world', () => 'the network is calm')
    for (const node of this.#nodes) node.restart()
    for (const node of this.#nodes)
      for (const peer of this.#world.citizens.keys())
        if (peer !== node.index)
          node.greet(node.index === peer ? node.index : (this.#world.citizens.get(peer)?.index ?? node.index))
    this.#world.after(LOOK_MS, () => this.#look())
  }

  #look(): void {
    const { scenario, proposals, nowMs } = this.#world
    this.#world.mayBeOver = true
    const patient = nowMs < scenario.calmMs + PATIENCE_MS
    const next = proposals.find(({ plan }) => plan.attempt === 1)
    const first = proposals.filter(({ plan }) => plan.attempt === 0)
    if (scenario.story === 'abandon' || scenario.story === 'rivals')
      for (const proposal of first) for (const node of this.#partiesOf(proposal)) node.abandon(proposal)
    if (next !== undefined) {
      for (const node of this.#partiesOf(next)) {
        if (this.#mayGoOn(node, first) || (!patient && next.spec.kind === 'reshare'))
          this.#approveOnce(next, node.index)
      }
    }
    this.#world.after(LOOK_MS, () => this.#look())
  }

  /** Every X of attempt 0 that concerns this node is decided against. */
  #mayGoOn(node: HonestNode, first: readonly Proposal[]): boolean {
    return first.every((proposal) => {
      const concerned = memberAt(proposal.spec.newConfig, node.index) !== undefined || node.disk.begun.has(proposal)
      return !concerned || slotEntry(node.disk.slot, proposal.ceremony)?.decidedAgainst === true
    })
  }

  #partiesOf(proposal: Proposal): readonly HonestNode[] {
    return this.#nodes.filter(({ index }) => proposal.everybody.includes(index))
  }

  /**
   * Every honest node of some ceremony has its certificate, and stored what goes with it. Where X was not the only one, those count that
   * agreed to it: the others learn its certificate as any node that was away does.
   */
  get areDone(): boolean {
    const { proposals } = this.#world
    return proposals.some((proposal) => {
      const agreed = (node: HonestNode): boolean =>
        proposals.length === 1 || (slotEntry(node.disk.slot, proposal.ceremony)?.approval ?? 'none') !== 'none'
      const concerned = this.#partiesOf(proposal).filter(agreed)
      return concerned.length > 0 && concerned.every(({ disk }) => disk.archives.has(proposal))
    })
  }

  /**
   * A key generation in which some hold a CERT1 and the others have given up: neither a certificate nor a quorum of ABANDONs need come, and
   * the operators take the next generation (protocol 3).
   */
  get areBlocked(): boolean {
    const { scenario, nowMs } = this.#world
    if (scenario.kind !== 'keygen' || scenario.story === 'plain') return false
    if (nowMs < scenario.calmMs + PATIENCE_MS || this.#nodes.every(({ refused }) => refused.size === 0)) return false
    return !this.#world.proposals.some((proposal) => this.#observer.isCertified(proposal))
  }
}
