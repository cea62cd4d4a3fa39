import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { faultTolerance } from '../ceremony/config.ts'
import { participantIndex } from '../primitives/point.ts'
import { chooseHelpers, type Dispute } from './choose-helpers.ts'

const members = (n: number) => Array.from({ length: n }, (_, at) => participantIndex(at + 1))

describe('the choice of helpers', () => {
  it('takes the most wanted, in order of index', () => {
    const [one, two, three, four] = members(4)
    if (!one || !two || !three || !four) throw new Error('n = 4')
    expect(chooseHelpers([four, two, one, three], [], 2, 1)).toEqual([two, four])
  })

  it('asks no two that are in dispute, and finds t helpers while all who dispute falsely are at most f', () => {
    fc.assert(
      fc.property(
        fc
          .integer({ min: 4, max: 64 })
          .chain((n) =>
            fc.record({ n: fc.constant(n), t: fc.integer({ min: 2, max: n - 1 }), seed: fc.infiniteStream(fc.nat()) }),
          ),
        ({ n, t, seed }) => {
          const f = faultTolerance(n, t)
          const [, ...candidates] = members(n)
          const draw = (below: number): number => (seed.next().value as number) % Math.max(1, below)
          const liars = candidates.slice(0, f)
          const disputes: Dispute[] = []
          for (let count = draw(4 * n); count > 0 && f > 0; count--) {
            const [liar, victim] = [liars[draw(f)], candidates[draw(candidates.length)]]
            if (liar !== undefined && victim !== undefined && liar !== victim) disputes.push([victim, liar])
          }
          const chosen = chooseHelpers(candidates, disputes, t, f)
          expect(chosen).toHaveLength(t)
          for (const [a, b] of disputes) expect(chosen?.includes(a) === true && chosen.includes(b)).toBe(false)
        },
      ),
    )
  })

  it('gives up when too few are left', () => {
    const [one, two, three] = members(3)
    if (!one || !two || !three) throw new Error('n = 3')
    expect(chooseHelpers([one], [], 2, 1)).toBeUndefined()
    expect(chooseHelpers([one, two], [[one, two]], 2, 1)).toBeUndefined()
    expect(
      chooseHelpers(
        [one, two, three],
        [
          [one, two],
          [three, one],
        ],
        2,
        1,
      ),
    ).toEqual([two, three])
  })
})
