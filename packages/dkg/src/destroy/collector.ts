import { memberAt, quorum } from '../ceremony/config.ts'
import { dkgError } from '../errors.ts'
import { attempt, decodeAll, list, u8, varBytes } from '../primitives/codec.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { concatBytes } from '@noble/hashes/utils.js'
import {
  createReceipt,
  decodeDestroyMessage,
  decodeErased,
  type DestroyMessage,
  encodeDestroyMessage,
  encodeErased,
  MAX_DESTROY_MESSAGE_BYTES,
  orderOf,
  signOrder,
  verifyErased,
  verifyOrder,
  verifyOrderSignature,
  verifyReceipt,
} from './messages.ts'
import type {
  DestroyCollector,
  DestroyCollectorState,
  DestroyEffect,
  DestroyInput,
  DestroyParams,
  DestroyPhase,
  DestroyPorts,
  DestroyStep,
} from './types.ts'
import { countErasures, type DestroyedSharing, erasedKey, isGone } from './progress.ts'

const PHASES: readonly DestroyPhase[] = ['collecting', 'erasing', 'erased', 'gone']

export function createDestroyCollector(ports: DestroyPorts): DestroyCollector {
  return {
    open: (params) => {
      if (!params.sharings.includes(params.current))
        throw dkgError('bad-parameters', 'the current sharing is one of the sharings of the key')
      return new DestroyTurn(ports, createState(params)).finish()
    },
    step: (state, input) => {
      const turn = new DestroyTurn(ports, copyState(state))
      turn.take(input)
      return turn.finish()
    },
    resume: (params, snapshot) => {
      const turn = new DestroyTurn(ports, createState(params))
      turn.restore(snapshot)
      return turn.finish()
    },
  }
}

const createState = (params: DestroyParams): DestroyCollectorState => ({
  params,
  phase: 'collecting',
  signatures: new Map(),
  receipts: new Map(),
  erased: new Map(),
  retransmits: 0,
  progress: '',
})

const copyState = (state: DestroyCollectorState): DestroyCollectorState => ({
  ...state,
  signatures: new Map(state.signatures),
  receipts: new Map(state.receipts),
  erased: new Map(state.erased),
})

/** One step under way: a private copy of the state, and the effects it causes. */
class DestroyTurn {
  readonly #ports: DestroyPorts
  readonly #state: DestroyCollectorState
  readonly #effects: DestroyEffect[] = []
  #mustPersist = false

  constructor(ports: DestroyPorts, state: DestroyCollectorState) {
    this.#ports = ports
    this.#state = state
  }

  finish(): DestroyStep {
    this.#advance()
    this.#tellProgress()
    const [state, effects] = [this.#state, this.#effects]
    if (!this.#mustPersist) return { state, effects }
    return { state, effects: [{ type: 'persist', snapshot: this.#snapshot() }, ...effects] }
  }

  take(input: DestroyInput): void {
    switch (input.type) {
      case 'approve':
        return this.#approve()
      case 'message':
        return this.#takeMessage(input.from, input.message)
      case 'erased-statement':
        return this.#takeErased(input.message)
      case 'erased':
        return this.#giveReceipt()
      case 'timer':
        this.#state.retransmits++
        return this.#say('all', true)
      case 'peer-connected':
        return this.#say(input.peer, false)
    }
  }

  #approve(): void {
    const { params, signatures } = this.#state
    const { current, self } = params
    if (this.#state.phase !== 'collecting' || signatures.has(self) || memberAt(current.config, self) === undefined)
      return
    signatures.set(self, signOrder(this.#ports.sign, current, self))
    this.#mustPersist = true
    this.#say('all', true)
  }

  #takeMessage(from: ParticipantIndex, bytes: Uint8Array): void {
    const message = attempt(() => decodeDestroyMessage(bytes))
    const { verify } = this.#ports
    const { params, signatures, receipts, phase } = this.#state
    if (message?.kind === 'signature') return this.#takeSignature(message)
    if (message?.kind === 'order' && phase === 'collecting') {
      if (!verifyOrder(verify, params.current, message.order, message.signatures)) return
      for (const signature of message.signatures) signatures.set(signature.index, signature)
    } else if (message?.kind === 'order') return this.#answer(from)
    if (message?.kind !== 'receipt' || receipts.has(message.receipt.from)) return
    if (!verifyReceipt(verify, params.sharings, message.receipt, message.signature)) return
    receipts.set(message.receipt.from, message)
    this.#mustPersist = true
  }

  /** Who says the order again may still wait for receipts, even where nothing is waited for any more here. */
  #answer(to: ParticipantIndex): void {
    const { params, receipts } = this.#state
    const receipt = receipts.get(params.self)
    if (receipt !== undefined && to !== params.self)
      this.#effects.push({ type: 'send', to, message: encodeDestroyMessage(receipt) })
  }

  #takeSignature({ order, signature }: DestroyMessage & { readonly kind: 'signature' }): void {
    const { params, signatures, phase } = this.#state
    const known = signatures.has(signature.index)
    if (known && phase === 'collecting') return
    if (!verifyOrderSignature(this.#ports.verify, params.current, order, signature)) return
    // Who still collects does not know that the order is complete.
    if (phase !== 'collecting') return this.#say(signature.index, false)
    signatures.set(signature.index, signature)
    this.#mustPersist = true
  }

  #takeErased(bytes: Uint8Array): void {
    const { params, erased } = this.#state
    const decoded = attempt(() => decodeErased(bytes))
    if (decoded === undefined || erased.has(erasedKey(decoded.statement))) return
    const statement = verifyErased(this.#ports.verify, params.sharings, bytes)
    if (statement === undefined) return
    erased.set(erasedKey(statement), decoded)
    this.#mustPersist = true
  }

  #giveReceipt(): void {
    const { params, receipts, phase } = this.#state
    if (phase !== 'erasing') return
    this.#state.phase = 'erased'
    receipts.set(params.self, createReceipt(this.#ports.sign, params.current, params.self))
    this.#mustPersist = true
    this.#say('all', true)
  }

  #advance(): void {
    const { params, signatures, phase } = this.#state
    if (phase === 'collecting' && signatures.size >= quorum(params.current.config)) {
      this.#state.phase = 'erasing'
      this.#mustPersist = true
      this.#effects.push({ type: 'erase', order: this.#order() })
    }
    if (phase === 'erased' && isGone(this.#count())) {
      this.#state.phase = 'gone'
      this.#mustPersist = true
      this.#effects.push({ type: 'stop-timer' })
    }
  }

  #count(): readonly DestroyedSharing[] {
    const { params, receipts, erased } = this.#state
    return countErasures(
      params.sharings,
      new Set(receipts.keys()),
      [...erased.values()].map(({ statement }) => statement),
    )
  }

  #order(): Uint8Array {
    const { params, signatures } = this.#state
    const ascending = [...signatures.values()].toSorted((left, right) => left.index - right.index)
    return encodeDestroyMessage({ kind: 'order', order: orderOf(params.current), signatures: ascending })
  }

  /** Own signature until the order is complete; then the order and the own receipt, to whoever may lack them. */
  #say(to: 'all' | ParticipantIndex, timer: boolean): void {
    const { params, signatures, receipts, phase, retransmits } = this.#state
    const own = signatures.get(params.self)
    const messages: Uint8Array[] = []
    if (phase === 'collecting' && own !== undefined)
      messages.push(encodeDestroyMessage({ kind: 'signature', order: orderOf(params.current), signature: own }))
    if (phase !== 'collecting') messages.push(this.#order())
    const receipt = receipts.get(params.self)
    if (receipt !== undefined) messages.push(encodeDestroyMessage(receipt))
    for (const message of messages) this.#effects.push({ type: 'send', to, message })
    if (!timer || phase === 'gone' || messages.length === 0) return
    const { retransmitMs, retransmitMaxMs } = params.timings
    const ms = Math.min(retransmitMaxMs, retransmitMs * 2 ** Math.min(retransmits, 16))
    this.#effects.push({ type: 'start-timer', ms })
  }

  #tellProgress(): void {
    const { params, signatures, phase, progress } = this.#state
    const { config } = params.current
    const missing = config.members.map(({ index }) => index).filter((index) => !signatures.has(index))
    const sharings = this.#count()
    const told = JSON.stringify([phase, missing, sharings.map((one) => one.missing)])
    if (told === progress) return
    this.#state.progress = told
    const want = quorum(config)
    this.#effects.push({ type: 'progress', phase, signatures: { have: signatures.size, want, missing }, sharings })
  }

  /** u8 1 || u8 phase || list(u16 || signature) as an order || list(var receipt) || list(var ERASED). */
  #snapshot(): Uint8Array {
    const { phase, receipts, erased } = this.#state
    return concatBytes(
      u8(1),
      u8(PHASES.indexOf(phase)),
      varBytes(this.#order()),
      list([...receipts.values()], (message) => varBytes(encodeDestroyMessage(message))),
      list([...erased.values()], ({ statement, signature }) => varBytes(encodeErased(statement, signature))),
    )
  }

  /** Everything said is said again; what was under way goes on. */
  restore(snapshot: Uint8Array): void {
    const phase = decodeAll(snapshot, 'snapshot', (reader) => {
      const version = reader.u8('version')
      const name = PHASES[reader.u8('phase')]
      const order = decodeDestroyMessage(reader.var(MAX_DESTROY_MESSAGE_BYTES, 'order'))
      if (version !== 1 || name === undefined || order.kind !== 'order')
        throw dkgError('bad-encoding', 'not a snapshot of an order to destroy')
      for (const signature of order.signatures)
        this.#takeSignature({ kind: 'signature', order: order.order, signature })
      const read = (field: string): Uint8Array[] =>
        reader.list({ min: 0, max: 0xffff }, field, (item) => item.var(MAX_DESTROY_MESSAGE_BYTES, field))
      for (const receipt of read('receipts')) this.#takeMessage(this.#state.params.self, receipt)
      for (const statement of read('erased')) this.#takeErased(statement)
      return name
    })
    this.#mustPersist = false
    this.#state.phase = phase
    if (phase === 'erasing') this.#effects.push({ type: 'erase', order: this.#order() })
    this.#say('all', true)
  }
}
