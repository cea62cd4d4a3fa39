import { describe, expect, test } from 'vitest'
import { type HandMade, keygenByHand, reshareByHand } from '../support/hand-made.ts'
import {
  answerTo,
  createKeyBench,
  GRACE_MS,
  hear,
  install,
  type KeyBench,
  type KeyNode,
  shareOf,
  sharingOf,
  statesOf,
} from '../support/key-bench.ts'
import { simulatedCommittee } from '../support/simulated-committee.ts'

/**
 * Row 27 and protocol 5, "erasing": the power goes before every step on the disk, with and without what was not synced. After each crash
 * the share of one epoch at least is served, what was erased stays erased, and the same work done again comes to the same end.
 */

const committee = simulatedCommittee({ n: 4, t: 2, seed: 27 })
const { identities } = committee
const [self] = identities
if (self === undefined) throw new Error('four members were made')
const epochs: readonly [HandMade, HandMade, HandMade] = (() => {
  const genesis = keygenByHand(committee.spec, identities)
  const second = reshareByHand(genesis, identities, 2)
  return [genesis, second, reshareByHand(second, identities, 2)]
})()
const [genesis, second, third] = epochs
/** Made without this node, which was away. */
const missed = reshareByHand(genesis, identities, 2, { voters: identities.slice(1) })

const usable = (node: KeyNode): readonly string[] =>
  [...epochs, missed].map((made) => answerTo(node, made)).filter((answer) => answer.startsWith('epoch'))

interface Scenario {
  readonly name: string
  /** Done before the power can go. */
  readonly before: (node: KeyNode, bench: KeyBench) => Promise<unknown>
  /** Done until the power goes, and again after it is back: every part may have happened already. */
  readonly work: (node: KeyNode, bench: KeyBench) => Promise<unknown>
  /** Of `usable`, whenever the power goes. */
  readonly atLeast: number
  readonly states: readonly string[]
}

const refresh = async (node: KeyNode, bench: KeyBench): Promise<void> => {
  await install(node, second, self)
  bench.pass(GRACE_MS)
  await node.keeper.eraseDue()
}

const scenarios: readonly Scenario[] = [
  {
    name: 'first share, second share, erasing of the first',
    before: (node) => install(node, genesis, self),
    work: refresh,
    atLeast: 1,
    states: ['1 active', '0 erased'],
  },
  {
    name: 'a third share while the first still retires',
    before: async (node) => {
      await install(node, genesis, self)
      await install(node, second, self)
    },
    work: async (node, bench) => {
      await install(node, third, self)
      bench.pass(GRACE_MS)
      await node.keeper.eraseDue()
    },
    atLeast: 1,
    states: ['2 active', '1 erased', '0 erased'],
  },
  {
    name: 'a certificate without a share, its repair, erasing',
    before: (node) => install(node, genesis, self),
    work: async (node, bench) => {
      await node.keeper.learn([missed.bytes])
      const share = shareOf(missed, self)
      if (share !== undefined) await node.keeper.repaired(sharingOf(missed), share)
      hear(node, missed, identities)
      bench.pass(GRACE_MS)
      await node.keeper.eraseDue()
    },
    atLeast: 1,
    states: ['1 active', '0 erased'],
  },
  {
    name: 'destruction',
    before: async (node) => {
      await install(node, genesis, self)
      await install(node, second, self)
    },
    work: (node) => node.keeper.destroyKey(genesis.keyId as never, Uint8Array.of(7)),
    atLeast: 0,
    states: ['1 erased', '0 erased'],
  },
]

describe.each(scenarios)('$name', ({ before, work, atLeast, states }) => {
  test.each(['synced', 'everything'] as const)('with %s on the disk', async (survives) => {
    const gone = new Set<number>()
    for (let at = 0, finished = false; !finished; at++) {
      const bench = await createKeyBench(committee, self)
      const first = await bench.start()
      await before(first, bench)
      bench.disk.failFrom(bench.disk.steps + at)
      finished = await work(first, bench).then(
        () => true,
        () => false,
      )
      await first.end()
      bench.disk.restart(survives)
      const second = await bench.start()
      expect(second.problems, `step ${at}`).toEqual([])
      expect(usable(second).length, `step ${at}`).toBeGreaterThanOrEqual(atLeast)
      const tombstones = statesOf(second).filter((state) => state.endsWith('erased'))
      gone.add(tombstones.length)
      await work(second, bench)
      expect(statesOf(second), `step ${at}`).toEqual(states)
      expect(statesOf(second), `step ${at}`).toEqual(expect.arrayContaining(tombstones))
      await second.end()
      const third = await bench.start()
      expect(statesOf(third), `step ${at}`).toEqual(states)
      expect(await third.records.list('share')).toHaveLength(states.filter((state) => !state.endsWith('erased')).length)
      await third.end()
      await bench.remove()
    }
    expect(gone.size).toBeGreaterThan(1)
  })
})
