import { describe, expect, it } from 'vitest'
import { ceremonyId } from '../../packages/dkg/src/ceremony/config.ts'
import { encodeJoin } from '../../packages/dkg/src/ceremony/messages.ts'
import { expandDealingSeed } from '../../packages/dkg/src/ceremony/seeds.ts'
import { decodeSigned, signMessage } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import { dealBadShare } from '../support/adversaries.ts'
import { Bench, seeds } from '../support/bench.ts'
import { expectAgreement, others } from '../support/expectations.ts'
import { bytesOf, simulatedCommittee } from '../support/simulated-committee.ts'
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
