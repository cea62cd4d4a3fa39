import { describe, expect, it } from 'vitest'
import { ceremonyId } from '../../packages/dkg/src/ceremony/config.ts'
import type { CeremonyEffect } from '../../packages/dkg/src/ceremony/engine-types.ts'
import { encodeJoin, encodeVouch } from '../../packages/dkg/src/ceremony/messages.ts'
import { expandDealingSeed } from '../../packages/dkg/src/ceremony/seeds.ts'
import { decodeSigned, signMessage } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import { dealBadShare } from '../support/adversaries.ts'
import { Bench, seeds } from '../support/bench.ts'
import { CraftedView, otherConstant } from '../support/crafted-view.ts'
import { expectAgreement, others } from '../support/expectations.ts'
import { bytesOf, type Identity, simulatedCommittee } from '../support/simulated-committee.ts'
import { simulate } from '../support/simulation.ts'

const committee = simulatedCommittee({ n: 5, t: 3, seed: 1 })
const FLOOD = 100_000

describe('row 24: what one member can make a node keep', () => {
  it('a hundred thousand JOINs of one member, in one view and in all of them, take one place', {
    timeout: 120_000,
  }, () => {
    const [self, other] = committee.identities
    if (self === undefined || other === undefined) throw new Error('a committee has members')
    const bench = new Bench(committee, self)
    bench.step(seeds(self.index))
    const before = bench.effects.length
    const { generator } = committee.curve
    for (let at = 0; at < FLOOD; at++) {
      const header = {
        name: 'join',
        ceremony: ceremonyId(committee.spec),
        view: at % 2 === 0 ? 0 : at,
        from: other.index,
      }
      const payload = encodeJoin({ role: 'both', receiverKey: generator, dealCommit: bytesOf('flood', at % 512) })
      bench.hear(signMessage(other.sign, { ...header, name: 'join' }, payload))
    }
    const { state } = bench
    expect(state.inbox.joins.size).toBe(2)
    expect(state.ahead.get(other.index)).toHaveLength(1)
    expect(state.lastJoins.size).toBeLessThanOrEqual(2)
    expect([...state.faults.keys()]).toEqual([other.index])
    expect(state.view).toBe(0)
    expect(bench.snapshot?.length ?? 0).toBeLessThan(16 * 1024)
    // One fault with its two messages, and nothing for all the others.
    expect(bench.effects.slice(before).filter(({ type }) => type === 'send' || type === 'fault').length).toBeLessThan(
      12,
    )
  })
})

describe('row 24: dealings that others name', () => {
  const [self, liar, other, ...rest] = committee.identities.filter(
    ({ index }) => index !== new CraftedView(committee, 0).leader,
  )
  const [leader] = committee.identities.filter((identity) => ![self, liar, other, ...rest].includes(identity))
  if (self === undefined || liar === undefined || other === undefined || leader === undefined)
    throw new Error('a committee has members')
  const view = new CraftedView(committee, 0)
  const fetched = (effects: readonly CeremonyEffect[]): number[] =>
    effects.flatMap((effect) => (effect.type === 'fetch' ? [effect.dealer] : []))
  const twoJoins = [view.join(liar.index), view.join(liar.index, { constant: otherConstant('row 24') })]

  it('are asked for, each other one that a member names, until their dealer is proven faulty', () => {
    const bench = new Bench(committee, self)
    bench.step(seeds(self.index))
    const joinset = view.joinsetOfAll(() => undefined)
    const { sid } = view.session(joinset)
    bench.hear(joinset)
    const name = (from: number, dealers: readonly Identity[]): readonly CeremonyEffect[] => {
      const dealings = dealers.map(({ index }) => ({ dealer: index, dealHash: bytesOf('deal', index, from) }))
      return bench.hear(view.sign('vouch', from, encodeVouch({ sid, dealings })))
    }
    expect(fetched(name(leader.index, [liar, other]))).toEqual([liar.index, other.index])
    expect(fetched(name(other.index, [liar]))).toEqual([liar.index])
    bench.hear(...twoJoins)
    expect([...bench.state.faults.keys()]).toEqual([liar.index])
    expect([...bench.state.wanted.values()].map(({ dealer }) => dealer)).toEqual([other.index])
    expect(fetched(name(liar.index, [liar, other]))).toEqual([other.index])
  })

  it('are asked for all the same where the certificate names them', () => {
    const [made] = [...simulate({ committee, seed: 2 }).values()]
    const bench = new Bench(committee, self)
    bench.step(seeds(self.index))
    bench.hear(...twoJoins)
    const effects = bench.step({ type: 'certificate', certificate: made?.certificate ?? new Uint8Array() })
    expect(bench.state.phase.name).toBe('fetching')
    expect(fetched(effects)).toContain(liar.index)
  })
})

describe('row 15: a complaint that comes after the certificate', () => {
  it('names the dealer, leaves the key as it is, and the node without its share', () => {
    // Seven members: a quorum votes without the victim, which has no share, and the culprit, whose engine dealt something else.
    const seven = simulatedCommittee({ n: 7, t: 3, seed: 1 })
    const [culprit = 0, victim = 0] = others(seven)
    const results = simulate({
      committee: seven,
      seed: 4,
      tamper: new Map([[culprit, dealBadShare(seven, culprit, victim)]]),
      lose: ({ header }) => header.name === 'complain',
    })
    const cheated = results.get(victim)
    const rest = [...results.values()].filter(({ index }) => index !== victim && index !== culprit)
    expectAgreement(seven, rest)
    expect(cheated?.phase).toBe('archived')
    expect(cheated?.share).toBeUndefined()
    expect(cheated?.faults.map(({ culprit: named, kind }) => ({ named, kind }))).toEqual([
      { named: culprit, kind: 'E3' },
    ])
    const complaints = (cheated?.sent ?? []).filter((bytes) => decodeSigned(bytes).header.name === 'complain')
    expect(complaints.length).toBeGreaterThan(0)
  })
})

describe('row 5: how coefficients are drawn', () => {
  it('their bytes are uniform by the chi-square test, at every place', () => {
    const receivers = [1, 2, 3].map((index) => participantIndex(index))
    const counts = Array.from({ length: 256 }, () => 0)
    let drawn = 0
    for (let at = 0; at < 700; at++)
      for (const coefficient of expandDealingSeed(new Secret(bytesOf('chi', at)), 3, receivers).coefficients)
        coefficient.use((bytes) => {
          for (const byte of bytes) counts[byte] = (counts[byte] ?? 0) + 1
          drawn += bytes.length
        })
    const expected = drawn / 256
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
    // 255 degrees of freedom: mean 255, standard deviation 22.6; a constant or counting source is in the thousands.
    expect(chiSquare).toBeGreaterThan(150)
    expect(chiSquare).toBeLessThan(380)
  })
})
