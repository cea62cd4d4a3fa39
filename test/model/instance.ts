import { createEngineWithRules } from '../../packages/dkg/src/ceremony/engine.ts'
import type {
  CeremonyEffect,
  CeremonyEngine,
  CeremonyInput,
  CeremonyParams,
  CeremonyTimings,
  EngineRules,
  Step,
  TimerName,
} from '../../packages/dkg/src/ceremony/engine-types.ts'
import type { CeremonyState } from '../../packages/dkg/src/ceremony/state.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'
import { bytesOf } from '../support/simulated-committee.ts'
import type { Kit } from './identities.ts'
import type { OldSharing, Proposal } from './proposal.ts'

/** A tenth of the protocol's, with fewer repetitions: they cost most of the time of a run. */
export const MODEL_TIMINGS: CeremonyTimings = {
  phaseBaseMs: 1_000,
  phasePerMemberMs: 50,
  retransmitMs: 300,
  retransmitMaxMs: 6_000,
}

/** Everything the engines of one run share. */
export interface EngineRoom {
  readonly kit: Kit
  readonly rules: EngineRules
  readonly old: OldSharing | undefined
}

/** Who carries out what an engine wants. */
export interface Host {
  /** False ends this life of the instance: the rest of the effects is lost with it. */
  perform(instance: Instance, effect: CeremonyEffect): boolean
}

/** One engine of one ceremony in one life of its node. */
export class Instance {
  readonly proposal: Proposal
  readonly self: ParticipantIndex
  /** Tells the copies of a liar apart; 0 at honest nodes. */
  readonly copy: number
  readonly timers = new Map<TimerName, number>()
  alive = true
  readonly #engine: CeremonyEngine<CeremonyState>
  readonly #params: CeremonyParams
  readonly #host: Host
  #state: CeremonyState | undefined

  constructor(room: EngineRoom, host: Host, proposal: Proposal, self: ParticipantIndex, copy = 0) {
    this.proposal = proposal
    this.self = self
    this.copy = copy
    this.#host = host
    const { kit, rules, old } = room
    this.#engine = createEngineWithRules({ curve: kit.curve, sign: kit.identity(self).sign, verify: kit.verify }, rules)
    this.#params = {
      spec: proposal.spec,
      self,
      timings: MODEL_TIMINGS,
      ...(old && { previous: old.key }),
      ...(old && { authorizations: [...proposal.authorizations.values()].toSorted((a, b) => a.index - b.index) }),
    }
  }

  get view(): number {
    return this.#state?.view ?? 0
  }

  get phase(): string {
    return this.#state?.phase.name ?? 'none'
  }

  start(snapshot: Uint8Array | undefined): void {
    this.#run(
      snapshot === undefined
        ? this.#engine.open(this.#params)
        : this.#engine.resume(this.#params, Secret.copyOf(snapshot)),
    )
  }

  step(input: CeremonyInput): void {
    if (this.alive && this.#state !== undefined) this.#run(this.#engine.step(this.#state, input))
  }

  #run({ state, effects }: Step<CeremonyState>): void {
    this.#state = state
    for (const effect of effects)
      if (!this.alive || !this.#host.perform(this, effect)) {
        this.alive = false
        return
      }
  }
}

/** Seeds as a driver would draw them, from a label that no other draw of the run has. */
export function drawSeeds(
  { proposal, self, copy }: Instance,
  wanted: Extract<CeremonyEffect, { type: 'need-seeds' }>,
  label: string,
  oldShare: Uint8Array | undefined,
): Extract<CeremonyInput, { type: 'seeds' }> {
  const draw = (use: string): Secret => new Secret(bytesOf('model seed', use, proposal.key, self, copy, label))
  return {
    type: 'seeds',
    view: wanted.view,
    ...(wanted.dealing && { dealing: draw('dealing') }),
    ...(wanted.receiver && { receiver: draw('receiver') }),
    ...(wanted.dealing && oldShare && { oldShare: Secret.copyOf(oldShare) }),
  }
}
