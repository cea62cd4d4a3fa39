import { memberAt, quorum } from '../ceremony/config.ts'
import { dkgError } from '../errors.ts'
import { attempt, equalBytes } from '../primitives/codec.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import {
  createReceipt,
  decodeDestroyMessage,
  decodeErased,
  type DestroyMessage,
  encodeDestroyMessage,
  isErasedSigned,
  isOrderFor,
  isReceiptSigned,
  signOrder,
  verifyErased,
  verifyOrder,
  verifyOrderSignature,
  verifyReceipt,
} from './messages.ts'
import type {
  DestroyCollectorState,
  DestroyEffect,
  DestroyInput,
  DestroyParams,
  DestroyPorts,
  DestroyStep,
} from './types.ts'
import {
  countErasures,
  type DestroyedSharing,
  erasedKey,
  isGone,
  type UnseenSharing,
  unseenSharings,
} from './progress.ts'
import { messagesToSay, orderMessage } from './say.ts'
import { decodeDestroySnapshot, encodeDestroySnapshot } from './snapshot.ts'

type Of<Kind extends DestroyMessage['kind']> = Extract<DestroyMessage, { readonly kind: Kind }>

/** Answers to one peer on one connection: enough to outlive lost frames, too few to make this node talk. */
const MAX_ANSWERS = 8

/** One step under way: a private copy of the state, and the effects it causes. */
export class DestroyTurn {
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
    return {
      state,
      effects: [{ type: 'persist', snapshot: encodeDestroySnapshot(state, orderMessage(this.#state)) }, ...effects],
    }
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
        return this.#giveReceipt(input.sharings)
      case 'sharings':
        return this.#see(input.sharings)
      case 'timer':
        this.#state.retransmits++
        return this.#say('all', true)
      case 'peer-connected':
        this.#state.answers.delete(input.peer)
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
    switch (message?.kind) {
      case 'signature':
        return this.#takeSignature(from, message)
      case 'order':
        return this.#takeOrder(from, message)
      case 'receipt':
        return this.#takeReceipt(message, bytes)
      case undefined:
        return
    }
  }

  #takeOrder(from: ParticipantIndex, { order, signatures }: Of<'order'>): void {
    const { params, phase } = this.#state
    if (phase !== 'collecting') {
      if (isOrderFor(order, params.current)) this.#answer(from)
    } else if (verifyOrder(this.#ports.verify, params.current, order, signatures))
      for (const signature of signatures) this.#state.signatures.set(signature.index, signature)
  }

  /** Who says the order again may still wait for receipts, even where nothing is waited for any more here. */
  #answer(to: ParticipantIndex): void {
    const { params, receipts } = this.#state
    const receipt = receipts.get(params.self)
    if (receipt !== undefined && this.#mayAnswer(to))
      this.#effects.push({ type: 'send', to, message: encodeDestroyMessage(receipt) })
  }

  #mayAnswer(peer: ParticipantIndex): boolean {
    const { params, answers } = this.#state
    const given = answers.get(peer) ?? 0
    if (peer === params.self || given >= MAX_ANSWERS) return false
    answers.set(peer, given + 1)
    return true
  }

  #takeSignature(from: ParticipantIndex, { order, signature }: Of<'signature'>): void {
    const { params, signatures, phase } = this.#state
    const known = signatures.has(signature.index)
    if (known && phase === 'collecting') return
    if (!verifyOrderSignature(this.#ports.verify, params.current, order, signature)) return
    if (phase !== 'collecting') {
      // Who still collects does not know that the order is complete. The answer is larger than the question: it goes to who asks, not further.
      if (from === signature.index && this.#mayAnswer(from)) this.#say(from, false)
      return
    }
    signatures.set(signature.index, signature)
    this.#mustPersist = true
  }

  #takeReceipt(message: Of<'receipt'>, bytes: Uint8Array): void {
    const { params, receipts, claims } = this.#state
    const { verify } = this.#ports
    const { receipt, signature } = message
    const { from, sharingId, generation, keyId } = receipt
    if (params.sharings.some((sharing) => isOrderFor(receipt, sharing))) {
      if (receipts.has(from) || !verifyReceipt(verify, params.sharings, receipt, signature)) return
      receipts.set(from, message)
      this.#mustPersist = true
      return
    }
    const { current } = params
    if (claims.has(from) || generation !== current.generation || !equalBytes(keyId, current.keyId)) return
    if (isReceiptSigned(verify, params.sharings, receipt, signature)) this.#claim({ sharingId, from }, from, bytes)
  }

  #takeErased(bytes: Uint8Array): void {
    const { params, erased, claims } = this.#state
    const decoded = attempt(() => decodeErased(bytes))
    if (decoded === undefined || erased.has(erasedKey(decoded.statement))) return
    const { from, keyId, epoch, successor } = decoded.statement
    if (verifyErased(this.#ports.verify, params.sharings, bytes) !== undefined) {
      erased.set(erasedKey(decoded.statement), decoded)
      this.#mustPersist = true
      return
    }
    const isKnown = params.sharings.some(({ sharingId }) => equalBytes(sharingId, successor))
    if (isKnown || claims.has(from) || !equalBytes(keyId, params.current.keyId)) return
    if (isErasedSigned(this.#ports.verify, params.sharings, decoded.statement, decoded.signature))
      this.#claim({ sharingId: successor, epoch: epoch + 1, from }, from, bytes)
  }

  /** A holder knows a sharing that this node does not: until that is known too, nobody here can say that the key is gone. */
  #claim(unseen: UnseenSharing, from: ParticipantIndex, bytes: Uint8Array): void {
    this.#state.claims.set(from, { unseen, message: Uint8Array.from(bytes) })
    this.#mustPersist = true
  }

  /** What holders said of sharings that were not known counts now. An order that is still collected is for the one it began with. */
  #see(sharings: DestroyParams['sharings']): void {
    const { params, phase, claims } = this.#state
    const isKnown = sharings.some(({ sharingId }) => equalBytes(sharingId, params.current.sharingId))
    if (phase === 'collecting' || !isKnown || sharings.length <= params.sharings.length) return
    this.#state.params = { ...params, sharings }
    const said = [...claims.values()].map(({ message }) => message)
    claims.clear()
    for (const message of said) this.#takeErased(message)
    for (const message of said) this.#takeMessage(params.self, message)
    this.#mustPersist = true
  }

  #giveReceipt(sharings: DestroyParams['sharings']): void {
    const { params, receipts, phase } = this.#state
    if (phase !== 'erasing') return
    this.#state.params = { ...params, sharings }
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
      this.#effects.push({ type: 'erase', order: orderMessage(this.#state) })
    }
    const gone = isGone(this.#count(), this.#unseen())
    if (phase === 'erased' && gone) {
      this.#state.phase = 'gone'
      this.#mustPersist = true
      this.#effects.push({ type: 'stop-timer' })
    }
    if (phase === 'gone' && !gone) {
      this.#state.phase = 'erased'
      this.#mustPersist = true
      this.#say('all', true)
    }
  }

  #unseen(): readonly UnseenSharing[] {
    const { params, claims } = this.#state
    return unseenSharings(
      params.sharings,
      [...claims.values()].map(({ unseen }) => unseen),
    )
  }

  #count(): readonly DestroyedSharing[] {
    const { params, receipts, erased } = this.#state
    return countErasures(
      params.sharings,
      new Set(receipts.keys()),
      [...erased.values()].map(({ statement }) => statement),
    )
  }

  /** To whoever may lack it. */
  #say(to: 'all' | ParticipantIndex, timer: boolean): void {
    const { params, phase, retransmits } = this.#state
    const messages = messagesToSay(this.#state)
    for (const message of messages) this.#effects.push({ type: 'send', to, message })
    // Where only sharings that are not known here keep the key from being gone, nobody has anything to answer.
    const isSilent = phase === 'gone' || (phase === 'erased' && isGone(this.#count(), []))
    if (!timer || isSilent || messages.length === 0) return
    const { retransmitMs, retransmitMaxMs } = params.timings
    const ms = Math.min(retransmitMaxMs, retransmitMs * 2 ** Math.min(retransmits, 16))
    this.#effects.push({ type: 'start-timer', ms })
  }

  #tellProgress(): void {
    const { params, signatures, phase, progress } = this.#state
    const { config } = params.current
    const missing = config.members.map(({ index }) => index).filter((index) => !signatures.has(index))
    const sharings = this.#count()
    const unseen = this.#unseen()
    const told = JSON.stringify([phase, missing, sharings.map((one) => one.missing), unseen.length])
    if (told === progress) return
    this.#state.progress = told
    const want = quorum(config)
    this.#effects.push({
      type: 'progress',
      phase,
      signatures: { have: signatures.size, want, missing },
      sharings,
      unseen,
    })
  }

  /** Everything is verified again, and the phase is what is left of it. Everything said is said again; what was under way goes on. */
  restore(snapshot: Uint8Array): void {
    const { phase, order, receipts, erased } = decodeDestroySnapshot(snapshot)
    const { params } = this.#state
    const named = params.sharings.find((sharing) => isOrderFor(order.order, sharing))
    if (named === undefined) throw dkgError('bad-encoding', 'an order to destroy a sharing that is not known')
    if (phase !== 'collecting') this.#state.params = { ...params, current: named }
    for (const signature of order.signatures)
      this.#takeSignature(params.self, { kind: 'signature', order: order.order, signature })
    for (const receipt of receipts) this.#takeMessage(params.self, receipt)
    for (const statement of erased) this.#takeErased(statement)
    this.#mustPersist = false
    const isOrdered = this.#state.signatures.size >= quorum(this.#state.params.current.config)
    if (phase !== 'collecting' && isOrdered) {
      const hasErased = phase !== 'erasing' && this.#state.receipts.has(params.self)
      this.#state.phase = hasErased ? 'erased' : 'erasing'
      if (!hasErased) this.#effects.push({ type: 'erase', order: orderMessage(this.#state) })
    }
    this.#say('all', true)
  }
}
