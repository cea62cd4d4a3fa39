import { createConfig, type ClusterId, participantIndex } from '@tkms/dkg'
import { expect, test } from 'vitest'
import { testCluster } from '../net/test-hosts.fixture.ts'
import { keptByFloor } from './floor.ts'

const committee = (n: number, t: number): ReturnType<typeof createConfig> =>
  createConfig({ clusterId: new Uint8Array(32).fill(1) as ClusterId, t, members: testCluster(n, []).nodes })
const set = (...indices: number[]): ReadonlySet<number> => new Set(indices)
const range = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from + 1 }, (_, at) => from + at)

test.for([
  ['nobody has expired', 7, 3, [1, 2, 3, 4, 5, 6, 7], [], []],
  ['those that are proven suffice without the expired one', 7, 3, [1, 2, 3, 4, 5, 6], [7], []],
  ['exactly t + f are proven', 7, 3, [1, 2, 3, 4, 5], [6, 7], []],
  ['one is missing: the lowest of the expired stays', 7, 3, [1, 2, 3, 4], [7, 5, 6], [5]],
  ['all but this node have expired at once', 7, 3, [4], [1, 2, 3, 5, 6, 7], [1, 2, 3, 5]],
  ['refused for other reasons is never kept: fewer than t + f are left', 7, 3, [1, 2], [3], [3]],
  ['a committee of five needs t + f = 4', 5, 3, [1, 2, 3], [4, 5], [4]],
  ['who is proven on another connection needs no keeping', 5, 3, [1, 2, 3], [3, 5], [5]],
  ['who is in no committee is not kept', 5, 3, [1, 2], [9, 12], []],
] as const)('%s', ([, n, t, proven, expired, kept]) => {
  expect(keptByFloor(committee(n, t), { proven: set(...proven), expired: set(...expired) })).toEqual(kept)
})

test('for every committee: never more than needed, and never fewer than t + f where that can be had', () => {
  for (const n of range(3, 10))
    for (const t of range(2, n)) {
      const config = tryCommittee(n, t)
      if (config === undefined) continue
      for (let mask = 0; mask < 3 ** Math.min(n, 7); mask++) {
        const states = range(1, n).map((index) => Math.floor(mask / 3 ** (index - 1)) % 3)
        const having = (state: number): readonly number[] => range(1, n).filter((index) => states[index - 1] === state)
        const [proven, expired] = [having(1), having(2)]
        const kept = keptByFloor(config, { proven: new Set(proven), expired: new Set(expired) })
        const wanted = Math.max(0, Math.min(config.t + config.f - proven.length, expired.length))
        if (kept.length !== wanted || kept.some((index) => !expired.includes(index)))
          expect({ n, t, proven, expired, kept }).toEqual({ wanted })
      }
    }
  expect(participantIndex(1)).toBe(1)
})

function tryCommittee(n: number, t: number): ReturnType<typeof createConfig> | undefined {
  try {
    return committee(n, t)
  } catch {
    return undefined
  }
}
