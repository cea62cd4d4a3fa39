import { decodeCertificate } from '../../packages/dkg/src/ceremony/certificate.ts'
import { type CommitteeConfig, configHash, faultTolerance, quorum } from '../../packages/dkg/src/ceremony/config.ts'
import type { Fault } from '../../packages/dkg/src/ceremony/evidence.ts'
import { verifyEvidence } from '../../packages/dkg/src/evidence/verify-evidence.ts'
import { decodeCommit, decodeComplain } from '../../packages/dkg/src/ceremony/messages.ts'
import { encodeOutcome, outcomeHash } from '../../packages/dkg/src/ceremony/outcome.ts'
import { decodeSigned } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { bytesKey, equalBytes } from '../../packages/dkg/src/primitives/codec.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'
import { verifyShare } from '../../packages/dkg/src/sharing/feldman.ts'
import type { HonestNode } from './honest-node.ts'
import type { Proposal } from './proposal.ts'
import { headOf } from './wire.ts'
import type { World } from './world.ts'

export type ViolationKind = 'conflict' | 'underheld' | 'framed' | 'stuck' | 'broken'

export interface Violation {
  readonly kind: ViolationKind
  readonly what: string
}

/** What a node tells of itself while it works. */
export type Witness = Pick<
  Observer,
  'sent' | 'authorized' | 'fault' | 'decidedAgainst' | 'toldRolledBack' | 'completed' | 'erased'
>

/** Of a node that counts as faulty nothing is expected. */
export const BLIND: Witness = {
  sent: () => undefined,
  authorized: () => undefined,
  fault: () => undefined,
  decidedAgainst: () => undefined,
  toldRolledBack: () => undefined,
  completed: () => undefined,
  erased: () => undefined,
}

/** What honest nodes have said in one ceremony. */
interface Ledger {
  /** `view/outcome` -> who signed COMMIT. */
  readonly commits: Map<string, Set<number>>
  readonly abandons: Set<number>
  /** Outcomes that Q COMMITs of one view exist for, as soon as the faulty nodes want it. */
  readonly certifiable: Set<string>
  decidedAgainst: boolean
  readonly certificates: Map<string, Uint8Array>
}

/** Sees everything at once and holds it against what the protocol promises. Faulty nodes count as having signed whatever helps them. */
export class Observer {
  readonly violations: Violation[] = []
  readonly #world: World
  readonly #nodes: ReadonlyMap<number, HonestNode>
  readonly #ledgers = new Map<Proposal, Ledger>()
  readonly #slots = new Map<string, Uint8Array>()
  readonly #checkEvidence: boolean
  maxView = 0
  /** The highest view any honest node had joined when the network became calm. */
  viewWhenCalm = 0
  faults = 0

  constructor(world: World, nodes: ReadonlyMap<number, HonestNode>) {
    this.#world = world
    this.#nodes = nodes
    this.#checkEvidence = world.scenario.seed % 4 === 0
  }

  report(kind: ViolationKind, what: string): void {
    // A rule switched off makes its nodes contradict themselves, and faulty is what they are proven then.
    if (this.#world.isControl && kind !== 'conflict') return
    this.#world.say('world', () => `VIOLATION ${kind}: ${what}`)
    this.violations.push({ kind, what })
  }

  ledger(proposal: Proposal): Ledger {
    const known = this.#ledgers.get(proposal)
    if (known !== undefined) return known
    const fresh: Ledger = {
      commits: new Map(),
      abandons: new Set(),
      certifiable: new Set(),
      decidedAgainst: false,
      certificates: new Map(),
    }
    this.#ledgers.set(proposal, fresh)
    return fresh
  }

  isCertified(proposal: Proposal): boolean {
    return this.ledger(proposal).certificates.size > 0
  }

  #faultyIn({ members }: CommitteeConfig): number {
    return members.filter(({ index }) => this.#world.scenario.faulty.has(index)).length
  }

  /** A message that an honest node signed itself. */
  sent(index: ParticipantIndex, proposal: Proposal, signed: Uint8Array): void {
    const { name, view } = headOf(signed)
    this.maxView = Math.max(this.maxView, view)
    if (!this.#world.isCalm) this.viewWhenCalm = Math.max(this.viewWhenCalm, view)
    const accused =
      name === 'complain' ? decodeComplain(this.#world.kit.curve, decodeSigned(signed).payload).dealer : ''
    const slot = `${proposal.key}/${index}/${name}/${view}/${accused}`
    const before = this.#slots.get(slot)
    if (before !== undefined) {
      if (before !== signed && !equalBytes(before, signed))
        this.report('broken', `node ${index} signed two different messages in the slot ${name} of view ${view}`)
      return
    }
    this.#slots.set(slot, signed)
    if (name === 'commit') this.#committed(index, proposal, view, bytesKey(decodeCommit(decodeSigned(signed).payload)))
    if (name === 'abandon') this.#abandoned(index, proposal)
  }

  #committed(index: number, proposal: Proposal, view: number, outcome: string): void {
    const { newConfig } = proposal.spec
    const ledger = this.ledger(proposal)
    const key = `${view}/${outcome}`
    const signers = ledger.commits.get(key) ?? new Set()
    ledger.commits.set(key, signers.add(index))
    if (signers.size + this.#faultyIn(newConfig) < quorum(newConfig) || ledger.certifiable.has(outcome)) return
    ledger.certifiable.add(outcome)
    this.#world.say(
      'world',
      () => `outcome ${outcome.slice(0, 8)} of ${proposal.plan.name} can be certified in view ${view}`,
    )
    this.#compare(proposal)
    this.#countHolders(proposal, outcome)
  }

  #abandoned(index: number, proposal: Proposal): void {
    const { newConfig } = proposal.spec
    const ledger = this.ledger(proposal)
    ledger.abandons.add(index)
    if (ledger.abandons.size + this.#faultyIn(newConfig) < quorum(newConfig)) return
    ledger.decidedAgainst = true
    this.#compare(proposal)
  }

  /** Never two outcomes of one ceremony, nor one beside its abandonment, nor, where attempts exclude each other, two in a slot. */
  #compare(proposal: Proposal): void {
    const ledger = this.ledger(proposal)
    const { name } = proposal.plan
    if (ledger.certifiable.size > 1) this.report('conflict', `two outcomes of ${name} can be certified`)
    if (ledger.certifiable.size > 0 && ledger.decidedAgainst)
      this.report('conflict', `${name} can be certified although it is decided against`)
    const exclusive = (other: Proposal): boolean =>
      proposal.spec.kind === 'keygen' || other.plan.attempt === proposal.plan.attempt
    const others = this.#world.proposals.filter((other) => other !== proposal && exclusive(other))
    if (ledger.certifiable.size > 0 && others.some((other) => this.ledger(other).certifiable.size > 0))
      this.report('conflict', `two ceremonies of one slot can be certified`)
  }

  /** At the instant an outcome can be certified, Q minus the faulty nodes hold their shares of it durably. */
  #countHolders(proposal: Proposal, outcome: string): void {
    const { newConfig } = proposal.spec
    const faulty = this.#faultyIn(newConfig)
    if (faulty > faultTolerance(newConfig.n, newConfig.t)) return
    const holders = this.#holdersOf(proposal, outcome)
    if (holders < quorum(newConfig) - faulty)
      this.report('underheld', `${holders} honest nodes hold a share of an outcome that can be certified`)
  }

  #holdersOf(proposal: Proposal, outcome: string): number {
    return proposal.spec.newConfig.members.filter(({ index }) => this.#nodes.get(index)?.holds(proposal, outcome))
      .length
  }

  authorized(index: ParticipantIndex, proposal: Proposal): void {
    const key = `auth/${index}/${proposal.plan.attempt}`
    const before = this.#slots.get(key)
    if (before !== undefined && !equalBytes(before, proposal.ceremony))
      this.report('broken', `node ${index} authorized two X of attempt ${proposal.plan.attempt}`)
    this.#slots.set(key, proposal.ceremony)
  }

  fault(index: ParticipantIndex, proposal: Proposal, fault: Fault): void {
    this.faults += 1
    const { kind, culprit, certainty } = fault
    this.#world.say(index, () => `proves ${kind} against ${culprit}`)
    if (certainty === 'proven' && !this.#world.scenario.faulty.has(culprit))
      this.report('framed', `node ${index} proves ${kind} against ${culprit}, which is honest`)
    if (!this.#checkEvidence) return
    const { kit, old } = this.#world
    const { receivers, dealers } = proposal.parties
    const pins = {
      configHash: configHash(dealers),
      members: [...receivers.members, ...dealers.members],
      ...(old && { certificates: [old.key.certificate] }),
    }
    const offline = verifyEvidence(kit.curve, kit.verify, fault.evidence, pins)
    if (offline?.culprit !== culprit || offline.kind !== kind)
      this.report('broken', `evidence ${kind} of node ${index} against ${culprit} does not verify offline`)
  }

  decidedAgainst(index: ParticipantIndex, proposal: Proposal): void {
    if (!this.ledger(proposal).decidedAgainst)
      this.report('broken', `node ${index} takes ${proposal.plan.name} for abandoned before a quorum abandoned it`)
  }

  toldRolledBack(index: ParticipantIndex, proposal: Proposal): void {
    this.report('broken', `node ${index}, whose disk is whole, takes itself for rolled back in ${proposal.plan.name}`)
  }

  completed(index: ParticipantIndex, proposal: Proposal, certificate: Uint8Array, share: Uint8Array | undefined): void {
    const { curve } = this.#world.kit
    const { outcome } = decodeCertificate(curve, certificate)
    const id = bytesKey(outcomeHash(encodeOutcome(outcome)))
    const ledger = this.ledger(proposal)
    ledger.certificates.set(id, certificate)
    if (!ledger.certifiable.has(id)) this.report('broken', `node ${index} completes with an outcome without a quorum`)
    if (share === undefined) return
    const secret = Secret.copyOf(share)
    if (!verifyShare(curve, outcome.commitment, index, secret))
      this.report('broken', `node ${index} stores a share that does not verify`)
  }

  /** After every erasure some sharing is left that honest nodes can decrypt under. */
  erased(index: ParticipantIndex, because: Proposal): void {
    const { old, proposals } = this.#world
    if (old === undefined || !this.#world.scenario.withinBounds) return
    const oldHolders = [...this.#nodes.values()].filter((node) => node.disk.oldShare !== undefined).length
    if (oldHolders >= old.key.t) return
    const alive = proposals.some((proposal) =>
      [...this.ledger(proposal).certificates.keys()].some(
        (outcome) => this.#holdersOf(proposal, outcome) >= proposal.spec.newConfig.t,
      ),
    )
    if (!alive)
      this.report('underheld', `node ${index} erased on ${because.plan.name}, and nobody can decrypt any more`)
  }
}
