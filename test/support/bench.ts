import { createCeremonyEngine } from '../../packages/dkg/src/ceremony/engine.ts'
import type {
  CeremonyEffect,
  CeremonyInput,
  CeremonyParams,
  Step,
} from '../../packages/dkg/src/ceremony/engine-types.ts'
import type { SignedMessage } from '../../packages/dkg/src/ceremony/signed-message.ts'
import type { CeremonyState } from '../../packages/dkg/src/ceremony/state.ts'
import type { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { Committee, Identity } from './simulated-committee.ts'
import { nodeSeed, SIMULATED_TIMINGS } from './simulation.ts'

/** One engine, stepped by hand. */
export class Bench {
  readonly #engine: ReturnType<typeof createCeremonyEngine>
  readonly #params: CeremonyParams
  readonly effects: CeremonyEffect[] = []
  state: CeremonyState
  snapshot: Secret | undefined

  constructor(
    committee: Committee,
    { index, sign }: Identity,
    { confirm = true }: { readonly confirm?: boolean } = {},
  ) {
    this.#engine = createCeremonyEngine({ curve: committee.curve, sign, verify: committee.verify })
    this.#params = { spec: committee.spec, self: index, timings: SIMULATED_TIMINGS }
    this.state = this.#take(this.#engine.open(this.#params))
    if (confirm) this.confirm()
  }

  /** Every peer says what it holds from this node: nothing unless told. */
  confirm(shown: Readonly<Record<number, readonly Uint8Array[]>> = {}): void {
    for (const { index } of this.#params.spec.newConfig.members)
      if (index !== this.#params.self) this.step({ type: 'status', from: index, messages: shown[index] ?? [] })
  }

  step(input: CeremonyInput): readonly CeremonyEffect[] {
    const before = this.effects.length
    this.state = this.#take(this.#engine.step(this.state, input))
    return this.effects.slice(before)
  }

  hear(...messages: readonly SignedMessage[]): readonly CeremonyEffect[] {
    return messages.flatMap(({ bytes }) => this.step({ type: 'message', signed: bytes }))
  }

  restart(shown: Readonly<Record<number, readonly Uint8Array[]>> = {}, confirm = true): void {
    if (this.snapshot === undefined) throw new Error('nothing was persisted')
    this.state = this.#take(this.#engine.resume(this.#params, this.snapshot))
    if (confirm) this.confirm(shown)
  }

  #take({ state, effects }: Step<CeremonyState>): CeremonyState {
    this.effects.push(...effects)
    for (const effect of effects) if (effect.type === 'persist') this.snapshot = effect.snapshot
    return state
  }
}

/** The seeds that the simulation would give this node. */
export const seeds = (index: number): CeremonyInput => ({
  type: 'seeds',
  view: 0,
  dealing: nodeSeed(0, 'dealing', index),
  receiver: nodeSeed(0, 'receiver', index),
})
