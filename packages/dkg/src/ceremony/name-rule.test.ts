import { expect, test } from 'vitest'
import { participantIndex } from '../primitives/point.ts'
import type { ClusterId, NodePublicKey } from '../primitives/types.ts'
import { type CommitteeConfig, configHash, createConfig } from './config.ts'
import { leadingKeys, mayBegin } from './name-rule.ts'

const bytes = (fill: number): Uint8Array => new Uint8Array(32).fill(fill)
const committee = (...indices: readonly number[]): CommitteeConfig =>
  createConfig({
    clusterId: bytes(9) as ClusterId,
    t: 2,
    members: indices.map((index) => ({ index: participantIndex(index), publicKey: bytes(index) as NodePublicKey })),
  })
const [genesis, second, third] = [committee(1, 2, 3, 4), committee(2, 3, 4, 5), committee(3, 4, 5, 6)]
const key = (keyName: string, generation: number, config: CommitteeConfig) =>
  ({ purpose: 'ecies-dec', keyName, generation, config, kind: 'keygen' }) as const
const reached = [key('one', 1, genesis), key('one', 1, second), key('two', 1, genesis), key('two', 2, third)]
const allowed = (of: ReturnType<typeof key>): boolean => mayBegin(configHash(genesis), reached, of)

test('earlier generations of the name lead to a key, where there are any', () => {
  expect(leadingKeys(reached, { purpose: 'ecies-dec', keyName: 'one', generation: 2 })).toEqual(reached.slice(0, 2))
  expect(leadingKeys(reached, { purpose: 'ecies-dec', keyName: 'two', generation: 2 })).toEqual(reached.slice(2, 3))
  for (const other of [
    { purpose: 'ecies-dec', keyName: 'one', generation: 1 },
    { purpose: 'ecies-dec', keyName: 'three', generation: 9 },
    { purpose: 'ckd-dprf', keyName: 'one', generation: 2 },
  ] as const)
    expect(leadingKeys(reached, other)).toEqual(reached)
})

test('a key is begun by the pinned committee, by one of its name, for a new name by any that is reached', () => {
  expect(allowed(key('one', 2, genesis))).toBe(true)
  expect(allowed(key('one', 2, second))).toBe(true)
  expect(allowed(key('one', 2, third))).toBe(false)
  expect(allowed(key('two', 3, third))).toBe(true)
  expect(allowed(key('two', 3, second))).toBe(false)
  expect(allowed(key('three', 1, third))).toBe(true)
  expect(allowed(key('three', 1, committee(1, 5, 6)))).toBe(false)
  expect(mayBegin(configHash(genesis), reached, { ...key('three', 1, third), kind: 'reshare' })).toBe(false)
})
