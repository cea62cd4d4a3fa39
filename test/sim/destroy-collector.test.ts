import { describe, expect, it } from 'vitest'
import { createConfig } from '../../packages/dkg/src/ceremony/config.ts'
import { createDestroyCollector } from '../../packages/dkg/src/destroy/collector.ts'
import {
  createErased,
  createReceipt,
  type DestroySharing,
  encodeDestroyMessage,
  orderOf,
  signOrder,
} from '../../packages/dkg/src/destroy/messages.ts'
import { isGone, unseenSharings } from '../../packages/dkg/src/destroy/progress.ts'
import type { DestroyEffect, DestroyInput, DestroyStep } from '../../packages/dkg/src/destroy/types.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import type { ClusterId, KeyId, SharingId } from '../../packages/dkg/src/primitives/types.ts'
import { bytesOf, type Identity, simulatedCommittee } from '../support/simulated-committee.ts'

/** One collector, node 1 of five, stepped by hand: t = 3, Q = 4, and four receipts make the key gone. */
const { identities, verify } = simulatedCommittee({ n: 6, t: 3, seed: 1 })
const timings = { retransmitMs: 1_000, retransmitMaxMs: 1_000 }
const self = participantIndex(1)

const epoch = (number: number): DestroySharing => ({
  keyId: bytesOf('key') as KeyId,
  generation: 1,
  epoch: number,
  sharingId: bytesOf('sharing', number) as SharingId,
  ...(number > 0 && { prevOutcome: bytesOf('sharing', number - 1) as SharingId }),
  config: createConfig({ clusterId: bytesOf('cluster') as ClusterId, t: 3, members: identities.slice(0, 5) }),
})
const first = epoch(0)
const identity = (index: number): Identity => {
  const found = identities.find((candidate) => candidate.index === index)
  if (found === undefined) throw new Error(`node ${index} has no identity`)
  return found
}
const collector = createDestroyCollector({ sign: identity(1).sign, verify })

const signature = (index: number, sharing = first): Uint8Array =>
  encodeDestroyMessage({
    kind: 'signature',
    order: orderOf(sharing),
    signature: signOrder(identity(index).sign, sharing, participantIndex(index)),
  })
const receipt = (index: number, sharing = first): Uint8Array =>
  encodeDestroyMessage(createReceipt(identity(index).sign, sharing, participantIndex(index)))
const message = (from: number, bytes: Uint8Array): DestroyInput => ({
  type: 'message',
  from: participantIndex(from),
  message: bytes,
})

/** What one node does, and its disk. */
class Node {
  step: DestroyStep
  snapshot: Uint8Array = new Uint8Array()
  effects: readonly DestroyEffect[] = []

  constructor(sharings: readonly DestroySharing[] = [first], snapshot?: Uint8Array) {
    const current = sharings.at(-1) ?? first
    const params = { sharings, current, self, timings }
    this.step = snapshot === undefined ? collector.open(params) : collector.resume(params, snapshot)
    this.#note()
  }

  take(...inputs: readonly DestroyInput[]): readonly DestroyEffect[] {
    const all: DestroyEffect[] = []
    for (const input of inputs) {
      this.step = collector.step(this.step.state, input)
      all.push(...this.#note())
    }
    return all
  }

  get phase(): string {
    return this.step.state.phase
  }

  #note(): readonly DestroyEffect[] {
    this.effects = this.step.effects
    for (const effect of this.effects) if (effect.type === 'persist') this.snapshot = effect.snapshot
    return this.effects
  }
}

const order = [2, 3, 4, 5].map((index) => message(index, signature(index)))
const erased: DestroyInput = { type: 'erased', sharings: [first] }
const claiming = (snapshot: Uint8Array, phase: number): Uint8Array => snapshot.with(1, phase)
const types = (effects: readonly DestroyEffect[]): string[] => effects.map(({ type }) => type)
const sends = (effects: readonly DestroyEffect[]) => effects.filter((effect) => effect.type === 'send')

describe('a snapshot is believed as far as its signatures go', () => {
  it('no phase makes an order of less than Q signatures', () => {
    const node = new Node()
    node.take({ type: 'approve' }, ...order.slice(0, 2))
    for (const phase of [1, 2, 3]) {
      const back = new Node([first], claiming(node.snapshot, phase))
      expect(back.phase).toBe('collecting')
      expect(types(back.effects)).not.toContain('erase')
      expect(back.step.state.signatures.size).toBe(3)
    }
  })

  it('without its own receipt a node has not erased, and erases', () => {
    const node = new Node()
    node.take(...order)
    expect(node.phase).toBe('erasing')
    for (const phase of [2, 3]) {
      const back = new Node([first], claiming(node.snapshot, phase))
      expect(back.phase).toBe('erasing')
      expect(types(back.effects)).toContain('erase')
    }
  })

  it('without enough receipts of others the key is not gone', () => {
    const node = new Node()
    node.take(...order, erased, message(2, receipt(2)))
    const back = new Node([first], claiming(node.snapshot, 3))
    expect(back.phase).toBe('erased')
    back.take(message(3, receipt(3)), message(4, receipt(4)))
    expect(back.phase).toBe('gone')
    expect(new Node([first], back.snapshot).phase).toBe('gone')
  })

  it('bytes that were changed anywhere lose what they carry, and never make an order', () => {
    const node = new Node()
    node.take(...order)
    const spoiled = Uint8Array.from(node.snapshot)
    spoiled[200] = (spoiled[200] ?? 0) ^ 1
    expect(new Node([first], spoiled).phase).toBe('collecting')
  })

  it('a complete order goes on whatever sharing is the latest meanwhile; one for an unknown sharing is refused', () => {
    const node = new Node()
    node.take(...order)
    const back = new Node([first, epoch(1)], node.snapshot)
    expect(back.phase).toBe('erasing')
    expect(back.step.state.params.current).toBe(first)
    expect(() => new Node([epoch(1)], node.snapshot)).toThrow(expect.objectContaining({ code: 'bad-encoding' }))
  })
})

describe('a key is not gone while a sharing of it exists that is not known here', () => {
  const receipts = [2, 3, 4, 5].map((index) => message(index, receipt(index)))

  it('a holder that erased a later one holds it back, after a restart too, until that is known', () => {
    const node = new Node()
    node.take(...order, erased, ...receipts.slice(0, 3))
    expect(node.phase).toBe('gone')
    const told = node.take(message(5, receipt(5, epoch(1))))
    expect(node.phase).toBe('erased')
    expect(told).toContainEqual(
      expect.objectContaining({ type: 'progress', unseen: [{ sharingId: epoch(1).sharingId, from: 5 }] }),
    )
    const again = new Node([first], node.snapshot)
    again.take(message(5, receipt(5)))
    expect(again.phase).toBe('erased')
    node.take({ type: 'sharings', sharings: [epoch(2)] })
    expect(node.phase).toBe('erased')
    node.take(message(5, receipt(5)))
    node.take({ type: 'sharings', sharings: [first, epoch(1)] })
    expect(node.phase).toBe('gone')
    expect(new Node([first, epoch(1)], again.snapshot).phase).toBe('gone')
  })

  it('a later one that becomes known when the key was gone must be gone too', () => {
    const node = new Node()
    node.take(...order, erased, ...receipts.slice(0, 3))
    expect(node.phase).toBe('gone')
    const six = createConfig({ clusterId: first.config.clusterId, t: 3, members: identities })
    const told = node.take({ type: 'sharings', sharings: [{ ...epoch(1), config: six }, first] })
    expect([node.phase, types(told)]).toEqual(['erased', expect.arrayContaining(['persist', 'start-timer'])])
    node.take(message(6, receipt(6, { ...epoch(1), config: six })))
    expect(node.phase).toBe('gone')
  })

  it('and is not asked for for ever: what is known is all there, so nobody has an answer', () => {
    const node = new Node()
    node.take(...order, erased, message(2, receipt(2)), message(5, receipt(5, epoch(1))))
    expect(types(node.take({ type: 'timer' }))).toContain('start-timer')
    node.take(message(3, receipt(3)), message(4, receipt(4)))
    expect(node.phase).toBe('erased')
    const last = types(node.take({ type: 'timer' }))
    expect(last).toContain('send')
    expect(last).not.toContain('start-timer')
    expect(types(new Node([first], node.snapshot).effects)).not.toContain('start-timer')
    expect(types(node.take({ type: 'peer-connected', peer: participantIndex(5) }))).toEqual(['send', 'send'])
  })

  it('so does an ERASED on the word of a certificate that is not known', () => {
    const statement = createErased(identity(5).sign, epoch(2), participantIndex(5))
    const held = new Node()
    held.take(...order, erased, { type: 'erased-statement', message: statement }, ...receipts)
    expect(held.phase).toBe('erased')
    expect(new Node([first], held.snapshot).phase).toBe('erased')
  })

  it('a stranger holds nothing back, nor does a word about another key', () => {
    const node = new Node()
    node.take(...order, erased, ...receipts.slice(0, 3))
    const other = { ...epoch(1), keyId: bytesOf('other') as KeyId }
    node.take(message(6, receipt(6, epoch(1))), message(5, receipt(5, other)))
    node.take({ type: 'erased-statement', message: createErased(identity(6).sign, epoch(2), participantIndex(6)) })
    expect(node.phase).toBe('gone')
  })

  it('a certificate that was taken without the one before it leaves a gap', () => {
    const [zero, one, two] = [epoch(0), epoch(1), epoch(2)]
    expect(unseenSharings([zero, one, two], [])).toEqual([])
    expect(unseenSharings([zero, two], [])).toEqual([{ sharingId: one.sharingId, epoch: 1 }])
    const counted = [{ sharingId: zero.sharingId, epoch: 0, have: 5, want: 4, missing: [] }]
    expect(isGone(counted, [])).toBe(true)
    expect(isGone(counted, unseenSharings([zero, two], []))).toBe(false)
  })

  it('what became known before the tombstone is counted', () => {
    const node = new Node()
    node.take(...order, { type: 'erased', sharings: [first, { ...epoch(1), config: epoch(1).config }] })
    expect(node.step.effects).toContainEqual(
      expect.objectContaining({ type: 'progress', sharings: [expect.anything(), expect.anything()] }),
    )
  })
})

describe('answers of a node that knows the order', () => {
  it('go to who asks and not to whom it names, and end after some', () => {
    const node = new Node()
    node.take(...order, erased)
    const asks = (from: number, times: number) =>
      Array.from({ length: times }, () => message(from, signature(2))).flatMap((input) => sends(node.take(input)))
    expect(asks(3, 5)).toEqual([])
    const answers = asks(2, 100)
    expect(answers.length).toBeLessThanOrEqual(16)
    expect(new Set(answers.map(({ to }) => to))).toEqual(new Set([2]))
    node.take({ type: 'peer-connected', peer: participantIndex(2) })
    expect(asks(2, 1)).not.toEqual([])
  })

  it('an order is answered with a receipt, some times, and only the order that was carried out', () => {
    const node = new Node()
    node.take(...order, erased)
    const ask = (sharing: DestroySharing, times: number) =>
      Array.from({ length: times }, () =>
        message(4, encodeDestroyMessage({ kind: 'order', order: orderOf(sharing), signatures: [] })),
      ).flatMap((input) => sends(node.take(input)))
    expect(ask(epoch(1), 5)).toEqual([])
    expect(ask(first, 100)).toHaveLength(8)
  })
})
