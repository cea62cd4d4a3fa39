import { describe, expect, it } from 'vitest'
import { checkCertificate } from '../../packages/dkg/src/ceremony/check-certificate.ts'
import { decodeSigned, signMessage, type SignedMessage } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import { Bench, seeds } from '../support/bench.ts'
import { simulatedCommittee } from '../support/simulated-committee.ts'
import { simulate } from '../support/simulation.ts'

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

it('gives up before peers answered without a signature, and says so: who was set back must not contradict its COMMIT', () => {
  if (self === undefined) throw new Error('a committee has members')
  const node = bench()
  const wanted = node.step({ type: 'abandon' })
  expect(wanted).toContainEqual(expect.objectContaining({ type: 'progress', phase: 'leaving', have: 1, want: 4 }))
  expect(named(wanted)).not.toContain('send')
  const commit = signMessage(
    self.sign,
    { name: 'commit', ceremony: node.state.ceremony, view: 0, from: self.index },
    new Uint8Array(32),
  )
  node.confirm({ 2: [commit.bytes] })
  expect(node.effects).toContainEqual(expect.objectContaining({ type: 'abandon-refused' }))
  expect(node.effects.flatMap((effect) => (effect.type === 'send' ? [effect] : []))).toEqual([])
})

it('an ABANDON of an earlier life counts as given up again before anybody answered', () => {
  const node = bench()
  node.step({ type: 'abandon' })
  node.confirm()
  const before = node.effects.length
  node.restart({}, false)
  expect(node.effects.slice(before)).toContainEqual(
    expect.objectContaining({ type: 'progress', phase: 'left', have: 1 }),
  )
})

describe('a node that gave up after its vote', () => {
  /** Everything that the others say in a run in which nothing is lost. */
  const said: SignedMessage[] = []
  const results = simulate({ committee, seed: 1, overhear: (message) => void said.push(message) })
  const [result] = [...results.values()]
  const byName = (...names: readonly string[]): SignedMessage[] =>
    said.filter(({ header }) => header.from !== self?.index && names.includes(header.name))

  /** It voted, and hears of no other vote before it leaves. */
  function voted(): Bench {
    if (self === undefined) throw new Error('a committee has members')
    const node = new Bench(committee, self)
    node.step(seeds(self.index))
    for (const name of ['join', 'joinset', 'deal', 'vouch', 'propose']) node.hear(...byName(name))
    expect(node.state.phase.name).toBe('voting')
    return node
  }

  it.each(['abandon', 'supersede'] as const)(
    'by %s witnesses the certificate of the others, and signs nothing more',
    (type) => {
      for (const restarts of [false, true]) {
        const node = voted()
        node.step({ type })
        expect(node.state.phase.name).toBe('left')
        const before = node.effects.length
        if (restarts) node.restart()
        node.hear(...byName('vote', 'commit'))
        const effects = node.effects.slice(before)
        const [complete] = effects.filter((effect) => effect.type === 'complete')
        expect(complete?.share).toBeDefined()
        expect(sharingOf(complete?.certificate)).toBe(sharingOf(result?.certificate))
        const own = effects.flatMap((effect) =>
          effect.type === 'send' ? [decodeSigned(effect.signed).header.name] : [],
        )
        expect(own.filter((name) => name !== 'abandon')).toEqual([])
      }
    },
  )

  it('witnesses it also where it left before the others had begun', () => {
    const node = bench()
    node.step({ type: 'supersede' })
    for (const name of ['join', 'joinset', 'propose', 'vote', 'commit']) node.hear(...byName(name))
    expect(named(node.effects).filter((type) => type === 'complete' || type === 'send')).toEqual(['complete'])
  })
})

function sharingOf(certificate: Uint8Array | undefined): string {
  if (certificate === undefined) throw new Error('there is no certificate')
  return bytesKey(checkCertificate(committee.curve, committee.verify, certificate).sharingId)
}
