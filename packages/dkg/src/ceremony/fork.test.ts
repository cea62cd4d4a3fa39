import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ForkMap } from './fork.ts'

/** A map under test beside a plain one that is really copied. */
interface Pair {
  readonly fork: ForkMap<number, string>
  readonly model: Map<number, string>
}

const key = fc.nat(5)
const action = fc.oneof(
  fc.record({ name: fc.constant('set' as const), key, value: fc.string({ maxLength: 2 }) }),
  fc.record({ name: fc.constantFrom('delete' as const, 'clear' as const, 'fork' as const), key }),
)

function expectSame({ fork, model }: Pair): void {
  expect([...fork]).toEqual([...model])
  expect([...fork.keys()]).toEqual([...model.keys()])
  expect([...fork.values()]).toEqual([...model.values()])
  expect(fork.size).toBe(model.size)
  for (const index of [0, 1, 2, 3, 4, 5]) {
    expect(fork.get(index)).toBe(model.get(index))
    expect(fork.has(index)).toBe(model.has(index))
  }
}

describe('a map that shares its content with its copies', () => {
  it('behaves as one that was copied: what is written to one is not seen in another', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), action), { maxLength: 40 }), (actions) => {
        const pairs: Pair[] = [{ fork: new ForkMap([[1, 'one']]), model: new Map([[1, 'one']]) }]
        for (const [at, act] of actions) {
          const pair = pairs[at % pairs.length]
          if (pair === undefined) continue
          const { fork, model } = pair
          if (act.name === 'set') expect([fork.set(act.key, act.value), model.set(act.key, act.value)]).toHaveLength(2)
          else if (act.name === 'delete') expect(fork.delete(act.key)).toBe(model.delete(act.key))
          else if (act.name === 'clear') expect([fork.clear(), model.clear()]).toHaveLength(2)
          else pairs.push({ fork: fork.fork(), model: new Map(model) })
          pairs.forEach(expectSame)
        }
      }),
    )
  })

  it('goes on over what was there when it is written to while it is read', () => {
    const map = new ForkMap([
      [1, 'one'],
      [2, 'two'],
    ])
    map.fork()
    const seen: number[] = []
    for (const [index] of map) {
      seen.push(index)
      map.delete(index)
    }
    expect(seen).toEqual([1, 2])
    expect(map.size).toBe(0)
  })
})
