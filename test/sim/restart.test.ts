import { describe, expect, it } from 'vitest'
import type { CeremonyEffect } from '../../packages/dkg/src/ceremony/engine-types.ts'
import { decodeSigned, type SignedMessage } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import { Bench, seeds } from '../support/bench.ts'
import { expectAgreement, leader } from '../support/expectations.ts'
import { bytesOf, type Identity, simulatedCommittee } from '../support/simulated-committee.ts'
import { nodeSeed, simulate } from '../support/simulation.ts'

const committee = simulatedCommittee({ n: 4, t: 2, seed: 2 })
const leaderIndex = leader(committee)
const [member, peer] = committee.identities.filter(({ index }) => index !== leaderIndex)
if (member === undefined || peer === undefined) throw new Error('a committee has four members')
const results = simulate({ committee, seed: 1 })

const sent = (name: string, from?: Identity): SignedMessage[] =>
  [...results.values()]
    .flatMap((result) => result.sent.map((bytes) => decodeSigned(bytes)))
    .filter(({ header }) => header.name === name && (from === undefined || header.from === from.index))

const others = (...names: readonly string[]): SignedMessage[] =>
  names.flatMap((name) => sent(name).filter(({ header }) => header.from !== member.index))

const signs = (effects: readonly CeremonyEffect[]): string[] =>
  effects.flatMap((effect) => (effect.type === 'send' ? [decodeSigned(effect.signed).header.name] : []))

/** The engine of `member`, after its VOTE, and its disk as it was before that. */
function rolledBack(): Bench {
  const bench = new Bench(committee, member as Identity)
  bench.step(seeds((member as Identity).index))
  const yesterday = bench.snapshot?.use((bytes) => Secret.copyOf(bytes))
  bench.hear(...others('join', 'joinset', 'deal', 'vouch', 'propose'))
  expect(bench.state.phase.name).toBe('voting')
  bench.snapshot = yesterday
  return bench
}

describe('row 31: a disk that was rolled back', () => {
  it('is shown what its node signed after it, and signs nothing more in that view', () => {
    const bench = rolledBack()
    const shown = [...sent('deal', member), ...sent('vote', member)].map(({ bytes }) => bytes)
    const before = bench.effects.length
    bench.restart({ [peer.index]: shown })
    const effects = bench.effects.slice(before)
    expect(effects).toContainEqual({ type: 'rolled-back', view: 0 })
    expect(bench.state.view).toBe(1)
    bench.hear(...others('join', 'joinset', 'deal', 'vouch', 'propose', 'vote'))
    const later = bench.effects.slice(before).filter((effect) => effect.type === 'send')
    const signedInView0 = later.map((effect) => decodeSigned(effect.signed)).filter(({ header }) => header.view === 0)
    const known = new Set(shown.map((bytes) => Buffer.from(bytes).toString('hex')))
    const joins = new Set(sent('join', member).map(({ bytes }) => Buffer.from(bytes).toString('hex')))
    for (const { bytes, header } of signedInView0) {
      if (header.from !== member.index) continue
      const hex = Buffer.from(bytes).toString('hex')
      expect([...known, ...joins]).toContain(hex)
    }
  })

  it('a life that begins before any answer signs nothing: what peers hold is asked first', () => {
    const bench = rolledBack()
    const before = bench.effects.length
    bench.restart({}, false)
    bench.hear(...others('join', 'joinset', 'deal', 'vouch', 'propose', 'vote', 'commit'))
    expect(bench.effects.slice(before).some(({ type }) => type === 'ask-status')).toBe(true)
    const names = signs(bench.effects.slice(before))
    expect(new Set(names)).toEqual(new Set(['join']))
  })

  it('it ends with the others, and nobody is blamed who was not rolled back', () => {
    const key = expectAgreement(committee, [...results.values()])
    const bench = rolledBack()
    bench.restart({ [peer.index]: sent('vote', member).map(({ bytes }) => bytes) })
    bench.step({ type: 'certificate', certificate: key.certificate })
    expect(bench.state.phase.name).toBe('fetching')
    expect([...bench.state.faults.keys()]).toEqual([])
  })

  it('shown its COMMIT without the CERT1 behind it, it joins no view that would hide it, until a peer shows one', () => {
    const bench = rolledBack()
    const commit = sent('commit', member).map(({ bytes }) => bytes)
    bench.restart({ [peer.index]: commit })
    expect(bench.state.phase.name).toBe('left')
    expect(bench.state.view).toBe(0)
    const holder = new Bench(committee, peer)
    holder.step(seeds(peer.index))
    for (const name of ['join', 'joinset', 'deal', 'vouch', 'propose', 'vote'])
      holder.hear(...sent(name).filter(({ header }) => header.from !== peer.index))
    const { cert1 } = holder.state
    if (cert1 === undefined) throw new Error('a quorum voted')
    bench.step({ type: 'status', from: peer.index, messages: commit, cert1: cert1.bytes })
    expect(bench.state.view).toBe(1)
    expect(bench.state.cert1?.view).toBe(0)
  })

  it('messages that others signed, or of another ceremony, prove no rollback', () => {
    const bench = rolledBack()
    const foreign = simulate({ committee: { ...committee, spec: { ...committee.spec, generation: 2 } }, seed: 1 })
    const elsewhere = [...foreign.values()].flatMap((result) => (result.index === member.index ? result.sent : []))
    bench.restart({ [peer.index]: [...sent('vote', peer).map(({ bytes }) => bytes), ...elsewhere, bytesOf('noise')] })
    expect(bench.effects.some(({ type }) => type === 'rolled-back')).toBe(false)
    expect(bench.state.view).toBe(0)
  })
})

describe('row 32: two copies of one node', () => {
  it('the copy that starts second learns that its messages exist already, and deals nothing different', () => {
    const copy = new Bench(committee, member, { confirm: false })
    copy.step({ type: 'status', from: peer.index, messages: sent('join', member).map(({ bytes }) => bytes) })
    expect(copy.effects).toContainEqual({ type: 'rolled-back', view: 0 })
    expect(copy.state.view).toBe(1)
  })

  it('two copies that both signed are evidence against their identity', () => {
    const bench = new Bench(committee, peer)
    bench.step(seeds(peer.index))
    const copy = new Bench(committee, member)
    copy.step({
      type: 'seeds',
      view: 0,
      dealing: nodeSeed(1, 'dealing', member.index),
      receiver: nodeSeed(1, 'receiver', member.index),
    })
    const second = copy.effects.flatMap((effect) => (effect.type === 'send' ? [decodeSigned(effect.signed)] : []))
    bench.hear(...sent('join', member), ...second)
    expect([...bench.state.faults.values()].map(({ culprit, kind }) => ({ culprit, kind }))).toEqual([
      { culprit: member.index, kind: 'E2' },
    ])
  })
})
