import { expect, it } from 'vitest'
import { decodeSigned, signMessage, type SignedMessage } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { Bench, seeds } from '../support/bench.ts'
import { simulatedCommittee } from '../support/simulated-committee.ts'

const committee = simulatedCommittee({ n: 4, t: 2, seed: 9 })
const [self, ...peers] = committee.identities
if (self === undefined) throw new Error('a committee has members')

/** ABANDON of a quorum: three of four. */
const abandons: SignedMessage[] = peers.map(({ index, sign }) =>
  signMessage(sign, { name: 'abandon', ceremony: bench().state.ceremony, view: 0, from: index }, new Uint8Array(0)),
)

function bench(): Bench {
  if (self === undefined) throw new Error('a committee has members')
  return new Bench(committee, self, { confirm: false })
}

const named = (effects: readonly { readonly type: string }[]): string[] => effects.map(({ type }) => type)

it('learns that a quorum gave the ceremony up before any peer answers STATUS: those who know it have forgotten the rest', () => {
  const node = bench()
  expect(named(node.hear(...abandons.slice(1)))).not.toContain('abandoned')
  expect(named(node.hear(...abandons))).toContain('abandoned')
})

it('tells its driver again after a restart that nothing is left of the ceremony', () => {
  const node = bench()
  node.hear(...abandons)
  const before = node.effects.length
  node.restart({}, false)
  expect(named(node.effects.slice(before))).toEqual(['abandoned'])
})

it('an engine that was given up for a higher attempt still says ABANDON when it is told to, and nothing else', () => {
  if (self === undefined) throw new Error('a committee has members')
  const node = new Bench(committee, self)
  node.step({ type: 'supersede' })
  const abandoned = node.step({ type: 'abandon' })
  const said = abandoned.flatMap((effect) => (effect.type === 'send' ? [decodeSigned(effect.signed).header.name] : []))
  expect(new Set(said)).toEqual(new Set(['abandon']))
  expect(node.state.standing).toBe('abandoned')
  expect(node.step(seeds(self.index))).toEqual([])
  expect(named(node.hear(...abandons.slice(1)))).toContain('abandoned')
})
