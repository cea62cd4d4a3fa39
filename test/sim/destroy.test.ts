import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createConfig, memberAt, quorum } from '../../packages/dkg/src/ceremony/config.ts'
import { createDestroyCollector } from '../../packages/dkg/src/destroy/collector.ts'
import {
  createErased,
  createReceipt,
  decodeDestroyMessage,
  decodeErased,
  type DestroySharing,
  destroyedKeyOf,
  encodeDestroyMessage,
  encodeErased,
  orderOf,
  signOrder,
  verifyErased,
  verifyOrder,
  verifyReceipt,
} from '../../packages/dkg/src/destroy/messages.ts'
import { countErasures, isGone, receiptsWanted } from '../../packages/dkg/src/destroy/progress.ts'
import { attempt } from '../../packages/dkg/src/primitives/codec.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import type { ClusterId, KeyId, SharingId } from '../../packages/dkg/src/primitives/types.ts'
import { DestroyBench } from '../support/destroy-bench.ts'
import { bytesOf, type Identity, simulatedCommittee } from '../support/simulated-committee.ts'

const { identities: everybody, verify } = simulatedCommittee({ n: 12, t: 4, seed: 1, signatures: 'ed25519' })
const cheap = simulatedCommittee({ n: 12, t: 4, seed: 1 })
const clusterId = bytesOf('cluster') as ClusterId
const keyId = bytesOf('key') as KeyId

/** One epoch held by members `from`..`to` of the twelve. */
function epoch(number: number, from: number, to: number, t: number, identities = everybody): DestroySharing {
  const members = identities.slice(from - 1, to)
  const prevOutcome = number === 0 ? undefined : (bytesOf('sharing', number - 1) as SharingId)
  return {
    keyId,
    generation: 1,
    epoch: number,
    sharingId: bytesOf('sharing', number) as SharingId,
    ...(prevOutcome && { prevOutcome }),
    config: createConfig({ clusterId, t, members }),
  }
}
const identity = (index: number, identities = everybody): Identity => {
  const found = identities.find((candidate) => candidate.index === index)
  if (found === undefined) throw new Error(`node ${index} has no identity`)
  return found
}
const signed = (sharing: DestroySharing, indices: readonly number[]) =>
  indices.map((index) => signOrder(identity(index).sign, sharing, participantIndex(index)))

describe('an order to destroy a key', () => {
  const current = epoch(1, 1, 5, 3)
  const order = orderOf(current)

  it('needs the signatures of Q distinct members of the sharing it names, and not one bad', () => {
    const [a, b, c, d, e] = signed(current, [1, 2, 3, 4, 5])
    if (!a || !b || !c || !d || !e) throw new Error('five members')
    expect(quorum(current.config)).toBe(4)
    expect(verifyOrder(verify, current, order, [a, b, c, d])).toBe(true)
    expect(verifyOrder(verify, current, order, [a, b, c, d, e])).toBe(true)
    expect(verifyOrder(verify, current, order, [])).toBe(false)
    expect(verifyOrder(verify, current, order, [a, b, c])).toBe(false)
    expect(verifyOrder(verify, current, order, [a, b, c, c])).toBe(false)
    expect(verifyOrder(verify, current, order, [a, b, c, { ...d, signature: c.signature }])).toBe(false)
    expect(verifyOrder(verify, current, order, [a, b, c, d, { ...e, signature: c.signature }])).toBe(false)
    expect(verifyOrder(verify, current, order, [a, b, c, ...signed(current, [6])])).toBe(false)
    expect(verifyOrder(verify, current, order, [a, b, c, ...signed(epoch(0, 1, 5, 3), [4])])).toBe(false)
    expect(verifyOrder(verify, current, orderOf(epoch(0, 1, 5, 3)), [a, b, c, d])).toBe(false)
    expect(verifyOrder(verify, current, { ...order, generation: 2 }, [a, b, c, d])).toBe(false)
  })

  it('row 22: a signature of an order is no receipt and no ERASED, and the other way round', () => {
    const [one] = signed(current, [1])
    const receipt = createReceipt(identity(1).sign, current, participantIndex(1))
    if (one === undefined || receipt.kind !== 'receipt') throw new Error('both exist')
    expect(verifyReceipt(verify, [current], receipt.receipt, receipt.signature)).toBe(true)
    expect(verifyReceipt(verify, [current], receipt.receipt, one.signature)).toBe(false)
    expect(verifyOrder(verify, current, order, [{ ...one, signature: receipt.signature }])).toBe(false)
    const statement = { keyId, epoch: 0, successor: current.sharingId, from: participantIndex(1) }
    const chain = [epoch(0, 1, 5, 3), current]
    expect(verifyErased(verify, chain, createErased(identity(1).sign, current, participantIndex(1)))).toEqual(statement)
    expect(verifyErased(verify, chain, encodeErased(statement, receipt.signature))).toBeUndefined()
  })

  it('every message is read back as it was written, and no other bytes are read', () => {
    const [one] = signed(current, [1])
    if (one === undefined) throw new Error('one signature')
    const messages = [
      { kind: 'signature', order, signature: one },
      { kind: 'order', order, signatures: signed(current, [1, 2, 3, 4]) },
      createReceipt(identity(2).sign, current, participantIndex(2)),
    ] as const
    for (const message of messages) {
      const bytes = encodeDestroyMessage(message)
      expect(decodeDestroyMessage(bytes)).toEqual(message)
      expect(destroyedKeyOf(bytes)).toEqual(keyId)
      for (let length = 0; length < bytes.length; length++)
        expect(attempt(() => decodeDestroyMessage(bytes.subarray(0, length)))).toBeUndefined()
      expect(attempt(() => decodeDestroyMessage(Uint8Array.of(...bytes, 0)))).toBeUndefined()
    }
    const [two, three] = signed(current, [2, 3])
    if (two === undefined || three === undefined) throw new Error('two signatures')
    const unsorted = encodeDestroyMessage({ kind: 'order', order, signatures: [three, two] })
    expect(attempt(() => decodeDestroyMessage(unsorted))).toBeUndefined()
  })
})

describe('when a destroyed key is gone', () => {
  it('takes n - t + 1 + f of every committee that ever held it, by receipt or by ERASED of that epoch', () => {
    const [zero, one] = [epoch(0, 1, 4, 2), epoch(1, 3, 9, 3)]
    const all = [zero, one]
    const left = (index: number) => {
      const statement = verifyErased(verify, all, createErased(identity(index).sign, one, participantIndex(index)))
      if (statement === undefined) throw new Error(`node ${index} is of epoch 0`)
      return statement
    }
    const receipts = (...indices: number[]) => new Set(indices.map(participantIndex))
    expect([receiptsWanted(zero.config), receiptsWanted(one.config)]).toEqual([4, 7])
    expect(isGone(countErasures(all, receipts(3, 4, 5, 6, 7, 8, 9), []), [])).toBe(false)
    expect(isGone(countErasures(all, receipts(3, 4, 5, 6, 7, 8, 9), [left(1), left(2)]), [])).toBe(true)
    expect(isGone(countErasures(all, receipts(1, 2, 3, 4, 5, 6, 7, 8, 9), []), [])).toBe(true)
    expect(isGone(countErasures(all, receipts(3, 4, 5, 6, 7, 8), [left(1), left(2)]), [])).toBe(false)
    // ERASED twice by one member counts once, and says nothing about the newer epoch.
    expect(countErasures(all, receipts(), [left(3), left(3)]).map(({ have }) => have)).toEqual([1, 0])
    expect(countErasures(all, receipts(), [left(3)])[0]?.missing).toEqual([1, 2, 4])
    expect(isGone(countErasures([], receipts(1), []), [])).toBe(false)
  })

  it('an ERASED of a non-member, of another epoch or on the word of an unknown certificate counts for nothing', () => {
    const [zero, one] = [epoch(0, 1, 4, 2), epoch(1, 3, 9, 3)]
    const by = (index: number, successor: DestroySharing) =>
      createErased(identity(index).sign, successor, participantIndex(index))
    expect(verifyErased(verify, [zero, one], by(5, one))).toBeUndefined()
    expect(verifyErased(verify, [zero, one], by(3, epoch(2, 3, 9, 3)))).toBeUndefined()
    expect(verifyErased(verify, [zero], by(3, one))).toBeUndefined()
    expect(verifyErased(verify, [zero, { ...one, keyId: bytesOf('other') as KeyId }], by(3, one))).toBeUndefined()
    expect(attempt(() => decodeErased(by(3, one).subarray(1)))).toBeUndefined()
  })

  it('then fewer than t honest holders are left in every committee, whoever of f lied', () => {
    const committee = fc.integer({ min: 4, max: 12 }).chain((n) =>
      fc.record({
        n: fc.constant(n),
        t: fc.integer({ min: 2, max: n - 1 }),
        erased: fc.uniqueArray(fc.integer({ min: 1, max: n })),
      }),
    )
    fc.assert(
      fc.property(committee, ({ n, t, erased }) => {
        const sharing = epoch(0, 1, n, t)
        const gone = isGone(countErasures([sharing], new Set(erased.map(participantIndex)), []), [])
        // The worst case: the liars say that they erased and did not.
        const kept = n - erased.length + Math.min(sharing.config.f, erased.length)
        if (gone) expect(kept).toBeLessThan(t)
        expect(
          isGone(countErasures([sharing], new Set(sharing.config.members.map(({ index }) => index)), []), []),
        ).toBe(true)
      }),
    )
  })
})

describe('destroying a key', () => {
  const cheapEpoch = (number: number, from: number, to: number, t: number) =>
    epoch(number, from, to, t, cheap.identities)
  const five = [cheapEpoch(0, 1, 5, 3)]
  const [one, two, three, four, fifth] = [1, 2, 3, 4, 5] as const

  it('begins when Q members signed, and ends when enough erased', () => {
    const nobody = new DestroyBench(cheap, five).run([one, two, three])
    expect(nobody.erasures.size).toBe(0)
    expect([...nobody.phases.values()]).toEqual(['collecting', 'collecting', 'collecting', 'collecting', 'collecting'])
    const done = new DestroyBench(cheap, five).run([one, two, three, fifth])
    expect([...done.erasures.keys()].toSorted((a, b) => a - b)).toEqual([one, two, three, four, fifth])
    expect(new Set(done.phases.values())).toEqual(new Set(['gone']))
  })

  it('is not over while too many members of an older epoch have not said that they erased', () => {
    const chain = [cheapEpoch(0, 1, 4, 2), cheapEpoch(1, 4, 8, 3)]
    const silent = new DestroyBench(cheap, chain, { silent: [1] }).run([4, 5, 6, 7])
    expect(silent.phases.get(5)).toBe('erased')
    const next = chain[1]
    if (next === undefined) throw new Error('two epochs')
    const left = createErased(identity(1, cheap.identities).sign, next, participantIndex(1))
    expect(new DestroyBench(cheap, chain, { silent: [1] }).run([4, 5, 6, 7], [left]).phases.get(5)).toBe('gone')
  })

  it('who missed the receipts of those that are done says the order again, and is answered', () => {
    const lost = new Map<number, number>()
    const bench = new DestroyBench(cheap, five, {
      // The first receipts of 1 and 2 to 5 never arrive, and the two have nothing to wait for themselves.
      loses: (from, to, message) => {
        const count = lost.get(from) ?? 0
        if (to !== fifth || from > two || count === 4 || decodeDestroyMessage(message).kind !== 'receipt') return false
        lost.set(from, count + 1)
        return true
      },
    }).run([one, two, three, four, fifth])
    expect(lost).toEqual(
      new Map([
        [one, 4],
        [two, 4],
      ]),
    )
    expect(new Set(bench.phases.values())).toEqual(new Set(['gone']))
  })

  it('row 17: a process that dies before or behind any persist, send or erasure goes on, and everybody erases', () => {
    const calm = new DestroyBench(cheap, five).run([one, two, three, four])
    expect(calm.actions).toBeGreaterThan(20)
    for (let at = 1; at <= calm.actions; at++)
      for (const behind of [false, true]) {
        // An approval that never became durable is lost with the process: five approve, four are enough.
        const bench = new DestroyBench(cheap, five, { crash: { at, behind } }).run([one, two, three, four, fifth])
        expect(bench.erasures.size).toBe(5)
        expect(new Set(bench.phases.values())).toEqual(new Set(['gone']))
      }
  })

  it('a stranger cannot approve, and noise changes nothing', () => {
    const collector = createDestroyCollector({ sign: identity(9).sign, verify })
    const current = epoch(0, 1, 5, 3)
    const self = participantIndex(9)
    const timings = { retransmitMs: 1, retransmitMaxMs: 1 }
    let { state } = collector.open({ sharings: [current], current, self, timings })
    expect(collector.step(state, { type: 'approve' }).effects).toEqual([])
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (message) => {
        for (const type of ['message', 'erased-statement'] as const) {
          const input = type === 'message' ? ({ type, from: self, message } as const) : ({ type, message } as const)
          const step = collector.step(state, input)
          expect(step.effects).toEqual([])
          state = step.state
        }
      }),
    )
    expect(memberAt(current.config, self)).toBeUndefined()
    expect(() => collector.open({ sharings: [], current, self, timings })).toThrow(
      expect.objectContaining({ code: 'bad-parameters' }),
    )
  })
})
