import { bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'
import { createRepairHelper } from '../../packages/dkg/src/repair/helper.ts'
import type { HelperState } from '../../packages/dkg/src/repair/helper-state.ts'
import {
  decodeRepairMessage,
  encodeRefusal,
  readRepairRequest,
  repairIdOf,
  type RepairRequest,
} from '../../packages/dkg/src/repair/messages.ts'
import { createRepairRecoverer } from '../../packages/dkg/src/repair/recoverer.ts'
import type { RecovererState } from '../../packages/dkg/src/repair/recoverer-state.ts'
import {
  type HelperInput,
  REPAIR_TIMINGS,
  type RecovererInput,
  type RepairEffect,
  type RepairParams,
} from '../../packages/dkg/src/repair/types.ts'
import type { RepairCase } from './repair-case.ts'
import { type BenchOptions, RepairRecord, type Sent } from './repair-record.ts'
import { EventQueue } from './event-queue.ts'
import { bytesOf } from './simulated-committee.ts'

/** Repairs in memory: the real reducers, a driver that persists, stores, crashes and restarts, and a clock of its own. */

interface Process {
  readonly index: ParticipantIndex
  helpers: Map<string, { state: HelperState }>
  recoverer: { state: RecovererState } | undefined
  /** What survives a crash. */
  readonly disk: Map<string, Uint8Array>
  generation: number
}

type Input =
  | { readonly kind: 'frame'; readonly from: ParticipantIndex; readonly bytes: Uint8Array }
  /** From the process itself: lost with it. */
  | { readonly kind: 'helper'; readonly rid: string; readonly input: HelperInput }
  | { readonly kind: 'recoverer'; readonly input: RecovererInput }

interface Event {
  readonly to: ParticipantIndex
  readonly generation: number
  readonly input: Input
}

class Crash extends Error {}

export class RepairBench extends RepairRecord {
  /** Persists, sends and stores so far. */
  actions = 0
  readonly #case: RepairCase
  readonly #options: BenchOptions
  readonly #processes = new Map<ParticipantIndex, Process>()
  readonly #events = new EventQueue<Event>()
  #draws = 0
  #rolledBack: ParticipantIndex | undefined

  constructor(repair: RepairCase, options: BenchOptions) {
    super()
    this.#case = repair
    this.#options = options
    for (const { index } of repair.identities)
      this.#processes.set(index, { index, helpers: new Map(), recoverer: undefined, disk: new Map(), generation: 0 })
  }

  /** Runs until nothing is under way, or `untilMs` of simulated time. */
  run(untilMs = 600_000): this {
    const recoverer = this.#process(this.#options.recoverer)
    if (recoverer.recoverer === undefined) this.#startRecoverer(recoverer)
    this.#events.drain(untilMs, (event) => this.#deliver(event))
    return this
  }

  /** The state of every reducer that is left, for what it must not hold any more. */
  states(): { readonly at: ParticipantIndex; readonly state: HelperState | RecovererState }[] {
    return [...this.#processes.values()].flatMap(({ index, helpers, recoverer }) =>
      [...helpers.values(), ...(recoverer ? [recoverer] : [])].map(({ state }) => ({ at: index, state })),
    )
  }

  /** The same frames once more. */
  replay(frames: readonly Sent[]): void {
    for (const { from, to, bytes } of frames) this.#push(0, to, 0, { kind: 'frame', from, bytes })
    this.#events.drain(Number.POSITIVE_INFINITY, (event) => this.#deliver(event))
  }

  /** An input of the operator of the recoverer. */
  operate(input: RecovererInput): void {
    const process = this.#process(this.#options.recoverer)
    if (process.recoverer !== undefined) this.#stepRecoverer(process, input)
  }

  #process(index: ParticipantIndex): Process {
    const process = this.#processes.get(index)
    if (process === undefined) throw new Error(`node ${index} is not in the committee`)
    return process
  }

  #params(self: ParticipantIndex): RepairParams {
    return { sharing: this.#case.sharing, self, timings: REPAIR_TIMINGS }
  }

  #ports(self: ParticipantIndex) {
    const identity = this.#case.identities.find(({ index }) => index === self)
    if (identity === undefined) throw new Error(`node ${self} has no identity`)
    const { curve, verify } = this.#case.committee
    return { curve, verify, sign: identity.sign }
  }

  #seed(label: string): Uint8Array {
    return bytesOf('seed', label, this.#draws++)
  }

  #deliver({ to, generation, input }: Event): void {
    const process = this.#process(to)
    if (input.kind === 'frame') return this.#receive(process, input.from, Uint8Array.from(input.bytes))
    if (generation !== process.generation) return
    if (input.kind === 'helper') this.#stepHelper(process, input.rid, input.input)
    else this.#stepRecoverer(process, input.input)
  }

  #receive(process: Process, from: ParticipantIndex, message: Uint8Array): void {
    const id = repairIdOf(message)
    if (id === undefined) return
    const rid = bytesKey(id)
    if (process.index === this.#options.recoverer)
      return this.#stepRecoverer(process, { type: 'message', from, message })
    if (process.helpers.has(rid)) return this.#stepHelper(process, rid, { type: 'message', from, message })
    const request = readRepairRequest(message)
    if (request === undefined) return
    const opened = createRepairHelper(this.#ports(process.index)).open(this.#params(process.index), message)
    if (opened === undefined) return this.#post(process.index, from, encodeRefusal(id, 'bad-request'))
    this.#guard(process, () => {
      process.helpers.set(rid, { state: opened.state })
      this.#perform(process, rid, opened.effects)
      this.#ask(process, rid, request)
    })
  }

  /** The operator of a helper. */
  #ask(process: Process, rid: string, request: RepairRequest): void {
    const { index } = process
    const { approves, denies } = this.#options
    if (denies?.(index) === true) this.#later(process, rid, { type: 'deny', reason: 'denied' })
    else if (approves?.(index, request) ?? true) this.#later(process, rid, { type: 'approve' })
  }

  #stepHelper(process: Process, rid: string, input: HelperInput): void {
    const helper = process.helpers.get(rid)
    if (helper === undefined) return
    this.#guard(process, () => {
      const { state, effects } = createRepairHelper(this.#ports(process.index)).step(helper.state, input)
      helper.state = state
      this.#perform(process, rid, effects)
      if (this.#options.rollBack?.helper === process.index && 'own' in state.phase && this.#rolledBack === undefined) {
        this.#rolledBack = process.index
        process.disk.clear()
        this.#restart(process)
      }
    })
  }

  #startRecoverer(process: Process): void {
    const { index } = process
    const snapshot = process.disk.get('recoverer')
    const reducer = createRepairRecoverer(this.#ports(index))
    this.#guard(process, () => {
      const step =
        snapshot === undefined
          ? reducer.open(this.#params(index))
          : reducer.resume(this.#params(index), Secret.copyOf(snapshot))
      process.recoverer = { state: step.state }
      this.#perform(process, '', step.effects)
    })
  }

  #stepRecoverer(process: Process, input: RecovererInput): void {
    const { recoverer, index } = process
    if (recoverer === undefined) return
    this.#guard(process, () => {
      const { state, effects } = createRepairRecoverer(this.#ports(index)).step(recoverer.state, input)
      recoverer.state = state
      this.#perform(process, '', effects)
    })
  }

  /** Runs what a process does; when it dies, it starts again from its disk. */
  #guard(process: Process, act: () => void): void {
    try {
      act()
    } catch (error) {
      if (!(error instanceof Crash)) throw error
      this.#restart(process)
    }
  }

  #restart(process: Process): void {
    process.generation++
    process.helpers = new Map()
    process.recoverer = undefined
    if (process.index === this.#options.recoverer) return this.#startRecoverer(process)
    for (const [rid, snapshot] of process.disk) {
      const reducer = createRepairHelper(this.#ports(process.index))
      const { state, effects } = reducer.resume(this.#params(process.index), Secret.copyOf(snapshot))
      process.helpers.set(rid, { state })
      this.#perform(process, rid, effects)
    }
  }

  #act(perform: () => void): void {
    const at = ++this.actions
    const { crash } = this.#options
    if (crash?.at === at && !crash.behind) throw new Crash('before')
    perform()
    if (crash?.at === at) throw new Crash('behind')
  }

  #perform(process: Process, rid: string, effects: readonly RepairEffect[]): void {
    for (const effect of effects) this.#performOne(process, rid, effect)
  }

  #performOne(process: Process, rid: string, effect: RepairEffect): void {
    const { index } = process
    switch (effect.type) {
      case 'persist':
        return this.#act(() => {
          const bytes = effect.snapshot.use((inner) => Uint8Array.from(inner))
          effect.snapshot.destroy()
          process.disk.set(rid === '' ? 'recoverer' : rid, bytes)
          this.snapshots.push({ at: index, bytes })
        })
      case 'send':
        return this.#act(() => this.#post(index, effect.to, effect.message))
      case 'send-secret':
        return this.#act(() => {
          effect.message.use((bytes) => this.#post(index, effect.to, Uint8Array.from(bytes)))
          effect.message.destroy()
        })
      case 'start-timer':
        return this.#later(process, rid, { type: 'timer' }, effect.ms)
      case 'need-seed': {
        const share = new Secret(Uint8Array.from((this.#options.useShare ?? this.#case.shareOf)(index)))
        return this.#later(process, rid, { type: 'seed', seed: new Secret(this.#seed(`helper ${index}`)), share })
      }
      case 'need-nonce': {
        const reachable = this.#options.reachable ?? []
        const nonce = this.#seed(`recoverer ${index}`)
        return this.#later(process, rid, { type: 'nonce', attempt: effect.attempt, nonce, reachable })
      }
      case 'fault':
      case 'dispute':
      case 'finished':
      case 'progress':
      case 'stop-timer':
        return this.note(index, effect)
      case 'complete':
        return this.#store(process, effect.share)
    }
  }

  #store(process: Process, share: Secret): void {
    this.#act(() => {
      this.repaired = share.use((bytes) => Uint8Array.from(bytes))
    })
    this.#later(process, '', { type: 'stored' })
  }

  /** An input of the process's own: from its operator, its clock, its disk. @param rid '' for the recoverer */
  #later(process: Process, rid: string, input: HelperInput | RecovererInput, delayMs = 0): void {
    const { index, generation } = process
    const own: Input =
      rid === ''
        ? { kind: 'recoverer', input: input as RecovererInput }
        : { kind: 'helper', rid, input: input as HelperInput }
    this.#push(delayMs, index, generation, own)
  }

  #push(delayMs: number, to: ParticipantIndex, generation: number, input: Input): void {
    this.#events.push(delayMs, { to, generation, input })
  }

  #post(from: ParticipantIndex, to: ParticipantIndex, bytes: Uint8Array): void {
    const message = decodeRepairMessage(bytes)
    const sent = { from, to, bytes, message }
    for (const one of this.#options.tamper?.(sent) ?? [bytes]) {
      const copy = Uint8Array.from(one)
      this.noteSent({ from, to, bytes: copy, message: decodeRepairMessage(copy) })
      this.#push(20, to, 0, { kind: 'frame', from, bytes: copy })
    }
  }
}
