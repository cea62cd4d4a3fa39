import * as fc from 'fast-check'
import { numberToBytesBE } from '@noble/curves/utils.js'
import { describe, expect, it } from 'vitest'
import { bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import { nobleCurve } from '../../packages/dkg/src/primitives/noble-curve.ts'
import { ORDER } from '../../packages/dkg/src/primitives/scalar.ts'
import {
  type Accusation,
  badJoinsets,
  badPossession,
  complainFalsely,
  contradictJoinset,
  dealBadShare,
  dealBytes,
  equivocate,
  omitReceiver,
  openOtherNonce,
  randomComplaint,
  wrongCommitments,
} from '../support/adversaries.ts'
import {
  combined,
  expectAgreement,
  expectNamed,
  expectSlotsFilledOnce,
  honest,
  leader,
  others,
  qualified,
} from '../support/expectations.ts'
import { bytesOf, simulatedCommittee } from '../support/simulated-committee.ts'
import { simulate, type Tamper } from '../support/simulation.ts'

describe('key generation, everybody honest', () => {
  for (const [n, t] of [
    [3, 2],
    [4, 2],
    [5, 3],
    [7, 3],
    [10, 4],
  ] as const)
    it(`n = ${n}, t = ${t}: one outcome, every share verifies, any t combine and t - 1 do not`, () => {
      const committee = simulatedCommittee({ n, t, seed: n })
      const results = [...simulate({ committee, seed: 1 }).values()]
      const key = expectAgreement(committee, results)
      const { generator } = committee.curve
      expect(combined(committee, results.slice(0, t), generator)).toEqual(key.groupKey)
      expect(combined(committee, results.slice(-t), generator)).toEqual(key.groupKey)
      expect(combined(committee, results.slice(0, t - 1), generator)).not.toEqual(key.groupKey)
      expect(results.flatMap(({ faults }) => faults)).toEqual([])
    })

  it('runs on noble and real Ed25519 as on the fast backends', () => {
    const committee = simulatedCommittee({ n: 4, t: 2, seed: 9, signatures: 'ed25519', curve: nobleCurve })
    const key = expectAgreement(committee, [...simulate({ committee, seed: 3 }).values()])
    const fast = simulatedCommittee({ n: 4, t: 2, seed: 9, signatures: 'ed25519' })
    expect(expectAgreement(fast, [...simulate({ committee: fast, seed: 8 }).values()]).groupKey).toEqual(key.groupKey)
  })

  it('order and duplicates of messages do not matter: any schedule gives the same outcome', () => {
    const committee = simulatedCommittee({ n: 4, t: 2, seed: 5 })
    const reference = expectAgreement(committee, [...simulate({ committee, seed: 0 }).values()])
    fc.assert(
      fc.property(fc.nat(), fc.boolean(), (seed, duplicate) => {
        const key = expectAgreement(committee, [...simulate({ committee, seed, duplicate }).values()])
        expect(key.sharingId).toEqual(reference.sharingId)
      }),
      { numRuns: 12 },
    )
  })
})

describe('one faulty node, n = 5, t = 3', () => {
  const committee = simulatedCommittee({ n: 5, t: 3, seed: 1 })
  const [culprit = 0, victim = 0] = others(committee)
  const run = (tamper: Tamper) => simulate({ committee, seed: 4, tamper: new Map([[culprit, tamper]]) })
  const runAccusation = ({ tamper, overhear }: Accusation) =>
    simulate({ committee, seed: 4, tamper: new Map([[culprit, tamper]]), overhear })

  it('row 12: a bad share to one node is opened by a complaint and names the dealer', () => {
    const results = run(dealBadShare(committee, culprit, victim))
    expectAgreement(committee, honest(results, culprit))
    expectNamed(committee, results.values(), culprit, ['E3'])
    expect(qualified(committee, results.get(victim))).not.toContain(culprit)
  })

  for (const [name, bytes] of [
    ['zero', new Uint8Array(32)],
    ['the group order', numberToBytesBE(ORDER, 32)],
    ['above the group order', new Uint8Array(32).fill(0xff)],
  ] as const)
    it(`row 5: a share that opens to ${name} is opened by a complaint and names the dealer`, () => {
      const results = run(dealBytes(committee, culprit, victim, bytes))
      expectAgreement(committee, honest(results, culprit))
      expectNamed(committee, results.values(), culprit, ['E3'])
    })

  for (const count of [2, 4, 0, 1000])
    it(`row 1: ${count} commitments instead of 3 exclude the dealer`, () => {
      const results = run(wrongCommitments(committee, culprit, count))
      const key = expectAgreement(committee, honest(results, culprit))
      expectNamed(committee, results.values(), culprit, ['E1'])
      expect(key.commitment).toHaveLength(3)
    })

  for (const which of ['popA', 'popR'] as const)
    it(`row 6: a bad possession proof (${which}) excludes the dealer`, () => {
      const results = run(badPossession(committee, culprit, which))
      expectAgreement(committee, honest(results, culprit))
      expectNamed(committee, results.values(), culprit, ['E1'])
    })

  it('row 6: a DEAL that does not open the commitment of its JOIN excludes the dealer', () => {
    const results = run(openOtherNonce(committee, culprit))
    expectAgreement(committee, honest(results, culprit))
    expectNamed(committee, results.values(), culprit, ['E1'])
  })

  it('a DEAL that leaves a receiver out excludes the dealer', () => {
    const results = run(omitReceiver(committee, culprit, victim))
    expectAgreement(committee, honest(results, culprit))
    expectNamed(committee, results.values(), culprit, ['E1'])
  })

  it('row 13: a complaint with a bad proof names the complainer, the dealer stays', () => {
    const results = runAccusation(randomComplaint(committee, culprit, victim))
    expectAgreement(committee, honest(results, culprit))
    expectNamed(committee, results.values(), culprit, ['E4'])
    expect(qualified(committee, results.get(victim))).toContain(victim)
  })

  it('row 13: a complaint that opens a good share names the complainer, the dealer stays', () => {
    const results = runAccusation(complainFalsely(committee, culprit, victim))
    expectAgreement(committee, honest(results, culprit))
    expectNamed(committee, results.values(), culprit, ['E4'])
    expect(qualified(committee, results.get(victim))).toContain(victim)
  })

  it('row 9: two dealings to two halves are evidence against the dealer, and the honest nodes agree', () => {
    const results = run(equivocate(committee, culprit))
    const survivors = honest(results, culprit)
    expectAgreement(committee, survivors)
    expectNamed(committee, survivors, culprit, ['E2'])
  })

  it('row 16: a dealer that serves only two nodes is pulled from them by the others', () => {
    const served = others(committee).slice(1, 3)
    const results = run(({ header, bytes }, to) =>
      header.name === 'deal' && !served.includes(to) ? undefined : [bytes],
    )
    expectAgreement(committee, honest(results, culprit))
  })

  for (const [name, change] of badJoinsets(committee))
    it(`row 11: a JOINSET that ${name} proves its leader faulty, and the next one leads`, () => {
      const culpritLeader = leader(committee)
      const tamper = new Map([[culpritLeader, contradictJoinset(committee, culpritLeader, change)]])
      const results = simulate({ committee, seed: 6, tamper })
      expectNamed(committee, results.values(), culpritLeader, ['E5'])
      expectAgreement(committee, honest(results, culpritLeader))
      expect(qualified(committee, results.get(victim))).not.toContain(culpritLeader)
    })

  it('finishes without an absent node that does not lead, and holds no share for it', () => {
    const results = simulate({ committee, seed: 7, absent: [culprit] })
    expectAgreement(committee, [...results.values()])
    expect(qualified(committee, results.get(victim))).not.toContain(culprit)
  })

  it('finishes without an absent leader in the next view, and names it', () => {
    const absent = leader(committee)
    const results = [...simulate({ committee, seed: 7, absent: [absent] }).values()]
    expectAgreement(committee, results)
    for (const { failedViews } of results) {
      expect(failedViews).toHaveLength(1)
      expect(failedViews[0]).toMatchObject({ view: 0, leader: absent })
      expect(failedViews[0]?.missing).toContain(absent)
      expect(failedViews[0]?.reason).toContain(`node ${absent}`)
    }
  })
})

describe('crashes and hostile bytes', () => {
  const committee = simulatedCommittee({ n: 4, t: 2, seed: 2 })

  it('row 17: restarts from the last snapshot at random moments end in one outcome and never fill a slot twice', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const results = [...simulate({ committee, seed, crashProbability: 0.02 }).values()]
        expectAgreement(committee, results)
        expectSlotsFilledOnce(results)
        expect(results.flatMap(({ faults }) => faults)).toEqual([])
      }),
      { numRuns: 15 },
    )
  })

  it('a node cut off after its VOTE gets the certificate and its share when it is back', () => {
    const cut = others(committee)[0]
    const lose = ({ header }: { header: { name: string; from: number } }, to: number, timeMs: number): boolean =>
      timeMs < 5_000 && (header.name === 'vote' || header.name === 'commit') && (to === cut || header.from === cut)
    expectAgreement(committee, [...simulate({ committee, seed: 11, lose }).values()])
  })

  it('random and mutated bytes never throw out of step, and change nothing', () => {
    const recorded = [...simulate({ committee, seed: 12 }).values()].flatMap(({ sent }) => sent)
    const reference = expectAgreement(committee, [...simulate({ committee, seed: 12 }).values()])
    const mutated = recorded.map((bytes, at) => {
      const copy = Uint8Array.from(bytes)
      const flip = bytesOf('flip', at)
      copy[((flip[0] ?? 0) * 256 + (flip[1] ?? 0)) % copy.length] = (flip[2] ?? 0) || 1
      return copy.subarray(0, (flip[3] ?? 0) < 64 ? Math.floor(copy.length / 2) : copy.length)
    })
    const random = Array.from({ length: 60 }, (_, at) => bytesOf('noise', at).subarray(0, at % 33))
    const garbage = [...mutated.filter((bytes, at) => bytesKey(bytes) !== bytesKey(recorded[at] ?? bytes)), ...random]
    const results = [...simulate({ committee, seed: 12, garbage }).values()]
    expect(expectAgreement(committee, results).sharingId).toEqual(reference.sharingId)
  })
})
