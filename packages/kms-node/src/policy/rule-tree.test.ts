import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { no, type PolicyRule, type RuleVerdict, YES } from './decision.ts'
import { inputOf } from './decision-input.fixture.ts'
import { createPolicy, type Policy } from './policy.ts'
import type { RuleTree } from './rule-tree.ts'

const policyFor = (tree: RuleTree, envelopes: 1 | 2 = 2): Policy =>
  createPolicy({ entryOf: () => ({ envelopes, tree }) })
const input = inputOf()
const unsure: RuleVerdict = { kind: 'no', reason: 'away', undecided: true }
const rule = (name: string, verdict: RuleVerdict): RuleTree => ({ kind: 'rule', rule: { name, decide: () => verdict } })

/** Says yes only where the handle is bound, which a v2 item's is from the start. */
const needsBinding: PolicyRule = {
  name: 'needs',
  decide: (_input, { handleBound }) => (handleBound ? YES : no('handle-not-bound')),
}
const leaf = fc.constantFrom<RuleTree>(
  rule('yes', YES),
  rule('binds', { kind: 'yes', bindsPoint: true, bindsHandle: true }),
  rule('points', { kind: 'yes', bindsPoint: true }),
  rule('no', no('never')),
  rule('unsure', unsure),
  { kind: 'rule', rule: needsBinding },
)
const { tree } = fc.letrec<{ tree: RuleTree }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.record({
      kind: fc.constantFrom('any' as const, 'all' as const),
      of: fc.tuple(tie('tree'), tie('tree'), tie('tree')),
    }),
  ),
}))

describe('rules put together', () => {
  it('are explained as they decide, whoever stops early', async () => {
    const v1 = {
      ...input,
      item: {
        version: 1,
        K: input.item.version === 2 ? input.item.header.K : input.item.K,
        chainId: 0,
        handle: new Uint8Array(32),
        grant: new Uint8Array(0),
      } as const,
    }
    await fc.assert(
      fc.asyncProperty(tree, async (any) => {
        for (const each of [input, v1]) {
          const policy = policyFor(any, each.item.version)
          expect((await policy.explain('k', each)).decision).toEqual(await policy.decide('k', each))
        }
      }),
      { numRuns: 300 },
    )
  })

  it('ask every rule for an explanation, and only as many as it takes for a decision', async () => {
    const asked: string[] = []
    const noting = (name: string, verdict: RuleVerdict): RuleTree => ({
      kind: 'rule',
      rule: {
        name,
        decide: () => {
          asked.push(name)
          return verdict
        },
      },
    })
    const policy = policyFor({
      kind: 'all',
      of: [{ kind: 'any', of: [noting('a', YES), noting('b', YES)] }, noting('c', no('x')), noting('d', YES)],
    })
    await policy.decide('k', input)
    expect(asked.splice(0)).toEqual(['a', 'c'])
    const { told } = await policy.explain('k', input)
    expect(asked).toEqual(['a', 'b', 'c', 'd'])
    expect(told).toEqual({
      kind: 'all',
      allowed: false,
      of: [
        {
          kind: 'any',
          allowed: true,
          of: [
            { kind: 'rule', rule: 'a', verdict: YES },
            { kind: 'rule', rule: 'b', verdict: YES },
          ],
        },
        { kind: 'rule', rule: 'c', verdict: no('x') },
        { kind: 'rule', rule: 'd', verdict: YES },
      ],
    })
  })

  it('are undecided only where an answer could have come out otherwise', async () => {
    const away = rule('away', unsure)
    const never = rule('never', no('never'))
    const undecided = async (any: RuleTree): Promise<boolean> => {
      const decision = await policyFor(any).decide('k', input)
      return !decision.allowed && decision.undecided === true
    }
    expect(await undecided(away)).toBe(true)
    expect(await undecided({ kind: 'any', of: [never, away] })).toBe(true)
    expect(await undecided({ kind: 'all', of: [away, never] })).toBe(true)
    expect(await undecided({ kind: 'all', of: [never, away] })).toBe(false)
    expect(await undecided({ kind: 'any', of: [never] })).toBe(false)
  })
})
