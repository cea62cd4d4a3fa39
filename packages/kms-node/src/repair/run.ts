import {
  type Fault,
  type HelperInput,
  type ParticipantIndex,
  type RecovererInput,
  type RepairEffect,
  type RepairEnd,
  type RepairStep,
  type Secret,
} from '@tkms/dkg'
import { createTurns } from '../turns.ts'

type Progress = Extract<RepairEffect, { readonly type: 'progress' }>

/** What one repair needs of its node. */
export interface RepairRunPorts<Input> {
  /** Durable when it resolves; borrowed. */
  persist(snapshot: Secret): Promise<void>
  send(to: ParticipantIndex, message: Uint8Array): void
  onFault(fault: Fault): void
  onDispute(between: readonly [number, number]): void
  onProgress(progress: Progress): void
  onFinished(reason: RepairEnd): Promise<void>
  /** The answer to an effect that asks for something; undefined when there is none. */
  answer(
    effect: Extract<RepairEffect, { readonly type: 'need-seed' | 'need-nonce' | 'complete' }>,
  ): Promise<Input | undefined>
  /** The run stopped because something could not be made durable: nothing it is told has any effect any more. */
  onBroken(cause: unknown): void
}

/** One reducer under way: its inputs one after the other, its effects in their order, nothing sent before what it rests on is durable. */
export class RepairRun<State, Input extends HelperInput | RecovererInput> {
  readonly #step: (state: State, input: Input) => RepairStep<State>
  readonly #ports: RepairRunPorts<Input>
  readonly #inTurn = createTurns()
  #state: State
  #timer: NodeJS.Timeout | undefined
  #halted = false
  #broken = false

  constructor(
    step: (state: State, input: Input) => RepairStep<State>,
    first: RepairStep<State>,
    ports: RepairRunPorts<Input>,
  ) {
    this.#step = step
    this.#ports = ports
    this.#state = first.state
    void this.#inTurn(() => this.#perform(first.effects))
  }

  get state(): State {
    return this.#state
  }

  /** It stopped by itself, in the middle of the effects of its last step. */
  get isBroken(): boolean {
    return this.#broken
  }

  /** Resolves when every effect of this input was performed. */
  input(input: Input): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#halted) return
      const { state, effects } = this.#step(this.#state, input)
      this.#state = state
      await this.#perform(effects)
    })
  }

  /** No further input has any effect; resolves when what is under way is done. */
  halt(): Promise<void> {
    this.#halted = true
    clearTimeout(this.#timer)
    return this.#inTurn(async () => {})
  }

  async #perform(effects: readonly RepairEffect[]): Promise<void> {
    try {
      for (const effect of effects) await this.#performOne(effect)
    } catch (cause) {
      this.#halted = true
      this.#broken = true
      clearTimeout(this.#timer)
      this.#ports.onBroken(cause)
    }
  }

  async #performOne(effect: RepairEffect): Promise<void> {
    const ports = this.#ports
    switch (effect.type) {
      case 'persist':
        await ports.persist(effect.snapshot)
        return effect.snapshot.destroy()
      case 'send':
        return ports.send(effect.to, effect.message)
      case 'send-secret':
        effect.message.use((bytes) => ports.send(effect.to, bytes))
        return effect.message.destroy()
      case 'need-seed':
      case 'need-nonce':
      case 'complete': {
        const answer = await ports.answer(effect)
        if (answer !== undefined) void this.input(answer)
        return
      }
      case 'start-timer':
        clearTimeout(this.#timer)
        if (!this.#halted)
          this.#timer = setTimeout(() => void this.input({ type: 'timer' } as Input), effect.ms).unref()
        return
      case 'stop-timer':
        return clearTimeout(this.#timer)
      case 'fault':
        return ports.onFault(effect.fault)
      case 'dispute':
        return ports.onDispute(effect.between)
      case 'progress':
        return ports.onProgress(effect)
      case 'finished':
        return ports.onFinished(effect.reason)
    }
  }
}
