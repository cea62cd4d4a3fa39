import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { keygenByHand, reshareByHand } from '../support/hand-made.ts'
import {
  answerTo,
  createKeyBench,
  GRACE_MS,
  hear,
  install,
  type KeyBench,
  type KeyNode,
  MAX_RETIRING_MS,
  shareOf,
  sharingOf,
  statesOf,
} from '../support/key-bench.ts'
import { simulatedCommittee } from '../support/simulated-committee.ts'

/** Protocol 8: PREPARED is the ceremony's; ACTIVE, RETIRING and ERASED are the keeper's, over the real store. */

const committee = simulatedCommittee({ n: 5, t: 3, seed: 8 })
const { identities } = committee
const [self, , , , leaver] = identities
if (self === undefined || leaver === undefined) throw new Error('five members were made')
const genesis = keygenByHand(committee.spec, identities)
const second = reshareByHand(genesis, identities, 3)
const third = reshareByHand(second, identities, 3)
const without = reshareByHand(genesis, identities.slice(0, 4), 2)
const degraded = reshareByHand(genesis, identities.slice(0, 4), 2, { authorizers: identities.slice(0, 3) })

let bench: KeyBench
let node: KeyNode
const restart = async (meanwhile: () => void = () => undefined): Promise<void> => {
  await node.end()
  meanwhile()
  node = await bench.start()
}
beforeEach(async () => {
  bench = await createKeyBench(committee, self)
  node = await bench.start()
})
afterEach(async () => {
  await node.end()
  await bench.remove()
})

describe('epochs', () => {
  test('the new share is active, the old one answers requests that name it, then it is gone', async () => {
    await install(node, genesis, self)
    expect(answerTo(node, genesis, 'unnamed')).toBe('epoch 0')
    await install(node, second, self)
    expect(statesOf(node)).toEqual(['1 active', '0 retiring'])
    expect(answerTo(node, genesis)).toBe('epoch 0')
    expect(answerTo(node, second)).toBe('epoch 1')
    expect(answerTo(node, second, 'unnamed')).toBe('epoch 1')
    expect(answerTo(node, third)).toBe('wrong-sharing')
    bench.pass(GRACE_MS - 1)
    await node.keeper.eraseDue()
    expect(answerTo(node, genesis)).toBe('epoch 0')
    bench.pass(1)
    await node.keeper.eraseDue()
    expect(answerTo(node, genesis)).toBe('superseded')
    expect(answerTo(node, second)).toBe('epoch 1')
    expect(node.erased.map(({ key, successor }) => [key.epoch, successor.epoch])).toEqual([[0, 1]])
    await restart()
    expect(statesOf(node)).toEqual(['1 active', '0 erased'])
    expect(answerTo(node, genesis)).toBe('superseded')
    expect(await node.records.list('share')).toHaveLength(1)
  })

  test('an erased share does not come back, nor does one of an epoch that is left behind', async () => {
    await install(node, genesis, self)
    await install(node, second, self)
    bench.pass(GRACE_MS)
    await node.keeper.eraseDue()
    await install(node, genesis, self)
    expect(statesOf(node)).toEqual(['1 active', '0 erased'])
    const share = shareOf(genesis, self)
    if (share === undefined) throw new Error('no share')
    await expect(node.keeper.repaired(sharingOf(genesis), share)).rejects.toMatchObject({ code: 'share-erased' })
    await install(node, third, self)
    const late = shareOf(second, self)
    if (late === undefined) throw new Error('no share')
    await expect(node.keeper.repaired(sharingOf(second), late)).rejects.toMatchObject({ code: 'share-erased' })
  })

  test('erasing waits for the requests under way', async () => {
    await install(node, genesis, self)
    await install(node, second, self)
    bench.pass(GRACE_MS)
    const found = node.table.lender('ecies-dec').find(genesis.keyId as never, sharingOf(genesis))
    if (found.kind !== 'found') throw new Error(found.kind)
    const loan = found.borrow()
    let erased = false
    const erasing = node.keeper.eraseDue().then(() => (erased = true))
    await new Promise((resolve) => setImmediate(resolve))
    expect([erased, answerTo(node, genesis)]).toEqual([false, 'superseded'])
    expect(loan.use((share) => share.length)).toBe(32)
    loan.end()
    await erasing
    expect(() => loan.use((share) => share.use((bytes) => bytes[0]))).toThrow(
      expect.objectContaining({ code: 'secret-destroyed' }),
    )
  })

  test('two ceremonies in a row: the middle epoch retires too', async () => {
    for (const made of [genesis, second, third]) await install(node, made, self)
    expect(statesOf(node)).toEqual(['2 active', '1 retiring', '0 retiring'])
    bench.pass(GRACE_MS)
    await node.keeper.eraseDue()
    expect(statesOf(node)).toEqual(['2 active', '1 erased', '0 erased'])
  })
})

describe('members with and without their new share', () => {
  test('one that lacks it serves the old one for T_max at most, a restart or a clock set back notwithstanding', async () => {
    await install(node, genesis, self)
    await node.keeper.install(second.bytes, undefined, { approvedHere: true, mayErase: true })
    expect(statesOf(node)).toEqual(['1 awaiting-repair', '0 retiring'])
    expect(answerTo(node, second)).toBe('no-share')
    expect(answerTo(node, second, 'unnamed')).toBe('no-share')
    bench.pass(MAX_RETIRING_MS / 2)
    await node.keeper.eraseDue()
    expect(answerTo(node, genesis)).toBe('epoch 0')
    await restart(() => void (bench.clock.nowMs -= 10 * MAX_RETIRING_MS))
    bench.pass(MAX_RETIRING_MS / 2)
    await node.keeper.eraseDue()
    expect(statesOf(node)).toEqual(['1 awaiting-repair', '0 erased'])
  })

  test('a clock set forward does nothing while the node runs, and leaves the old share its grace after a restart', async () => {
    await install(node, genesis, self)
    await node.keeper.install(second.bytes, undefined, { approvedHere: true, mayErase: true })
    bench.clock.nowMs += 1000 * MAX_RETIRING_MS
    await node.keeper.eraseDue()
    expect(answerTo(node, genesis)).toBe('epoch 0')
    await restart(() => void (bench.clock.nowMs += 1000 * MAX_RETIRING_MS))
    await node.keeper.eraseDue()
    expect(answerTo(node, genesis)).toBe('epoch 0')
    bench.pass(GRACE_MS)
    await node.keeper.eraseDue()
    expect(statesOf(node)).toEqual(['1 awaiting-repair', '0 erased'])
  })

  test('a repair brings the new share, and the old one goes after the grace', async () => {
    await install(node, genesis, self)
    await node.keeper.install(second.bytes, undefined, { approvedHere: true, mayErase: true })
    bench.pass(GRACE_MS)
    const wrong = shareOf(genesis, self)
    const right = shareOf(second, self)
    if (right === undefined || wrong === undefined) throw new Error('no share')
    await expect(node.keeper.repaired(sharingOf(second), wrong)).rejects.toMatchObject({ code: 'self-check-failed' })
    expect(answerTo(node, second)).toBe('no-share')
    await node.keeper.repaired(sharingOf(second), right)
    expect(answerTo(node, second)).toBe('epoch 1')
    hear(node, second, identities)
    await node.keeper.eraseDue()
    expect(statesOf(node)).toEqual(['1 active', '0 erased'])
    await restart()
    expect(answerTo(node, second)).toBe('epoch 1')
  })

  test('an epoch is not left before t members say that they have the next one, or T_max is over', async () => {
    await install(node, genesis, self)
    const share = shareOf(second, self)
    await node.keeper.install(second.bytes, share, { approvedHere: true, mayErase: true })
    hear(node, second, identities.slice(1, 2))
    hear(node, genesis, identities.slice(2))
    bench.pass(MAX_RETIRING_MS - 1)
    await node.keeper.eraseDue()
    expect(statesOf(node)).toEqual(['1 active', '0 retiring'])
    hear(node, second, identities.slice(2, 3))
    await node.keeper.eraseDue()
    expect(statesOf(node)).toEqual(['1 active', '0 erased'])
    await node.keeper.install(third.bytes, shareOf(third, self), { approvedHere: true, mayErase: true })
    bench.pass(MAX_RETIRING_MS)
    await node.keeper.eraseDue()
    expect(statesOf(node)).toEqual(['2 active', '1 erased', '0 erased'])
  })

  test('a node that left serves the old epoch until it is erased, and nothing else', async () => {
    const other = await createKeyBench(committee, leaver)
    const left = await other.start()
    await install(left, genesis, leaver)
    await install(left, without, leaver)
    expect(statesOf(left)).toEqual(['1 not-a-member', '0 retiring'])
    expect(answerTo(left, genesis)).toBe('epoch 0')
    expect(answerTo(left, without)).toBe('no-share')
    other.pass(GRACE_MS)
    await left.keeper.eraseDue()
    expect(statesOf(left)).toEqual(['1 not-a-member', '0 erased'])
    await left.end()
    await other.remove()
  })
})

describe('whose word counts', () => {
  test('row 53: nothing is erased for an attempt that was given up, everything for the higher one', async () => {
    const higher = reshareByHand(genesis, identities, 3, {}, { attempt: 1 })
    await install(node, genesis, self)
    await install(node, second, self, { mayErase: false })
    bench.pass(2 * MAX_RETIRING_MS)
    await node.keeper.eraseDue()
    expect(statesOf(node)).toEqual(['1 active', '0 retiring'])
    await install(node, higher, self)
    expect(answerTo(node, genesis, 'unnamed')).toBe('epoch 1')
    bench.pass(GRACE_MS)
    await node.keeper.eraseDue()
    expect(statesOf(node)).toEqual(['1 active', '1 erased', '0 erased'])
    expect(answerTo(node, second)).toBe('superseded')
  })

  test('a degraded AUTH counts only where the operator approved that X', async () => {
    await install(node, genesis, self)
    await expect(install(node, degraded, self)).rejects.toMatchObject({ code: 'degraded-certificate' })
    expect((await node.keeper.learn([degraded.bytes])).refused).toMatchObject([{ code: 'degraded-certificate' }])
    expect(statesOf(node)).toEqual(['0 active'])
    await install(node, degraded, self, { approvedHere: true })
    expect(statesOf(node)).toEqual(['1 active', '0 retiring'])
    bench.pass(GRACE_MS)
    await node.keeper.eraseDue()
    expect(statesOf(node)).toEqual(['1 active', '0 erased'])
  })

  test('a degraded AUTH of the same committee leads on, but erases nothing where nobody approved it', async () => {
    const refreshed = reshareByHand(genesis, identities, 3, { authorizers: identities.slice(0, 3) })
    await install(node, genesis, self)
    await node.keeper.learn([refreshed.bytes])
    bench.pass(2 * MAX_RETIRING_MS)
    await node.keeper.eraseDue()
    expect(statesOf(node)).toEqual(['1 awaiting-repair', '0 retiring'])
    await install(node, refreshed, self)
    bench.pass(2 * MAX_RETIRING_MS)
    await node.keeper.eraseDue()
    expect(statesOf(node)).toEqual(['1 active', '0 retiring'])
    await install(node, refreshed, self, { approvedHere: true })
    await node.keeper.eraseDue()
    expect(statesOf(node)).toEqual(['1 active', '0 retiring'])
    bench.pass(GRACE_MS)
    await node.keeper.eraseDue()
    expect(statesOf(node)).toEqual(['1 active', '0 erased'])
  })

  test('a certificate from anybody counts as far as the chain leads to it', async () => {
    await install(node, genesis, self)
    const flipped = Uint8Array.from(second.bytes)
    flipped[flipped.length - 1] = (flipped.at(-1) ?? 0) ^ 1
    const { keys, refused } = await node.keeper.learn([flipped, Uint8Array.of(1), third.bytes, second.bytes])
    expect(keys.map(({ epoch }) => epoch)).toEqual([2])
    expect(refused.map(({ code }) => code)).toContain('bad-certificate')
    expect(statesOf(node)[0]).toBe('2 awaiting-repair')
  })

  test('a share that a ceremony brings late, for an epoch already left, is not kept', async () => {
    await install(node, genesis, self)
    await node.keeper.learn([second.bytes, third.bytes])
    await install(node, second, self)
    expect(answerTo(node, second)).not.toBe('epoch 1')
    expect(await node.records.list('share')).toHaveLength(1)
  })
})

describe('destroyed keys', () => {
  test('every epoch is erased, the key is refused for ever, and so is every share of it', async () => {
    await install(node, genesis, self)
    await install(node, second, self)
    const order = Uint8Array.of(1, 2, 3)
    await node.keeper.destroyKey(genesis.keyId as never, order)
    for (const at of ['now', 'after a restart']) {
      expect([at, answerTo(node, genesis), answerTo(node, second, 'unnamed')]).toEqual([at, 'destroyed', 'destroyed'])
      expect(await node.records.list('share')).toEqual([])
      await expect(install(node, third, self)).rejects.toMatchObject({ code: 'key-destroyed' })
      expect(node.keeper.orders()).toMatchObject([{ order }])
      expect(node.keeper.list().map(({ newest }) => newest)).toEqual([false])
      await restart()
    }
  })

  test('later sharings of it become known, are no sign of an old disk, and give nothing back', async () => {
    await install(node, genesis, self)
    await node.keeper.destroyKey(genesis.keyId as never, Uint8Array.of(1))
    await node.keeper.learn([second.bytes, third.bytes])
    expect([statesOf(node), node.behind]).toEqual([['2 erased', '0 erased'], []])
    expect(answerTo(node, third)).toBe('destroyed')
  })

  test('a key that this node never saw is refused all the same', async () => {
    await node.keeper.destroyKey(genesis.keyId as never, Uint8Array.of(1))
    expect(answerTo(node, genesis)).toBe('destroyed')
    await expect(install(node, genesis, self)).rejects.toMatchObject({ code: 'key-destroyed' })
    await restart()
    expect(answerTo(node, genesis)).toBe('destroyed')
  })
})
