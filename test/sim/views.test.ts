import { describe, expect, it } from 'vitest'
import { decodeCertificate } from '../../packages/dkg/src/ceremony/certificate.ts'
import { decodeCommit, decodePropose, encodePropose } from '../../packages/dkg/src/ceremony/messages.ts'
import { encodeOutcome, decodeOutcome } from '../../packages/dkg/src/ceremony/outcome.ts'
import { partiesOf } from '../../packages/dkg/src/ceremony/parties.ts'
import { decodeSigned, signMessage, type SignedMessage } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import { expectAgreement, honest, leader, others } from '../support/expectations.ts'
import { Bench, seeds } from '../support/bench.ts'
import { simulatedCommittee } from '../support/simulated-committee.ts'
import { type NodeResult, simulate, type Tamper } from '../support/simulation.ts'

const HOUR_MS = 3_600_000
const committee = simulatedCommittee({ n: 5, t: 3, seed: 1 })
const leaderIndex = leader(committee)

const sentBy = (results: Iterable<NodeResult>, name: string): SignedMessage[] =>
  [...results]
    .flatMap(({ sent }) => sent.map((bytes) => decodeSigned(bytes)))
    .filter(({ header }) => header.name === name)

/** The outcome hashes that anybody committed to, in any view. */
const committed = (results: Iterable<NodeResult>): Set<string> =>
  new Set(sentBy(results, 'commit').map(({ payload }) => bytesKey(decodeCommit(payload))))

describe('row 18: the leader dies once an outcome may be certified', () => {
  it('after it saw Q votes and before its COMMIT left: the same outcome is certified in a later view', () => {
    // Nobody else sees a quorum of votes in view 0: only the dying leader holds the CERT1, and it never comes back.
    const results = simulate({
      committee,
      seed: 5,
      lose: ({ header }, to) => header.view === 0 && header.name === 'vote' && to !== leaderIndex,
      kill: (index, { state }) => (index === leaderIndex && state.phase.name === 'committing' ? 'before' : undefined),
    })
    expectAgreement(committee, honest(results, leaderIndex))
  })

  it('after its COMMIT and those of others: what one member committed to is what all certify, in a re-propose view', () => {
    const results = simulate({
      committee,
      seed: 6,
      lose: ({ header }) => header.view === 0 && header.name === 'commit',
      kill: (index, { state }) => (index === leaderIndex && state.phase.name === 'committing' ? 'after' : undefined),
    })
    const survivors = honest(results, leaderIndex)
    const key = expectAgreement(committee, survivors)
    expect(committed(results.values())).toEqual(new Set([bytesKey(key.sharingId)]))
    const certificate = decodeCertificate(committee.curve, key.certificate)
    expect(certificate.outcome.view).toBe(0)
    expect(certificate.view).toBeGreaterThan(0)
    expect(certificate.laterVotes.length).toBeGreaterThanOrEqual(4)
  })

  it('after the certificate: everybody ends with it', () => {
    const results = simulate({
      committee,
      seed: 7,
      lose: ({ header }, to) => header.name === 'commit' && header.view === 0 && to !== leaderIndex,
      kill: (index, { state }) => (index === leaderIndex && state.phase.name === 'complete' ? 'after' : undefined),
    })
    expectAgreement(committee, honest(results, leaderIndex))
  })
})

describe('row 10: a leader that splits the committee', () => {
  it('two PROPOSEs to two halves bring at most one outcome, and name it', () => {
    const identity = committee.identities.find(({ index }) => index === leaderIndex)
    if (identity === undefined) throw new Error('a committee has its leader')
    const parties = partiesOf(committee.spec)
    const tamper: Tamper = ({ header, payload, bytes }, to) => {
      if (header.name !== 'propose' || header.view !== 0 || to % 2 === 0) return [bytes]
      const propose = decodePropose(parties, payload)
      const outcome = decodeOutcome(committee.curve, committee.spec.newConfig, propose.outcome)
      const fewer = { ...outcome, dealings: outcome.dealings.slice(1) }
      return [signMessage(identity.sign, header, encodePropose({ mode: 'fresh', outcome: encodeOutcome(fewer) })).bytes]
    }
    for (let seed = 0; seed < 8; seed++) {
      const results = simulate({ committee, seed, tamper: new Map([[leaderIndex, tamper]]) })
      expectAgreement(committee, honest(results, leaderIndex))
      expect(committed(honest(results, leaderIndex)).size).toBe(1)
      for (const { faults } of honest(results, leaderIndex))
        expect(faults.map(({ culprit }) => culprit)).toEqual([leaderIndex])
    }
  })
})

describe('who begins when', () => {
  for (const [n, t] of [
    [4, 2],
    [7, 4],
  ] as const)
    it(`row 51: n = ${n}, one silent, approvals 1 h and 6 h apart: completes, and needs no view for the waiting`, () => {
      const late = simulatedCommittee({ n, t, seed: 3 })
      const [silent = 0, second = 0, third = 0] = others(late)
      const results = simulate({
        committee: late,
        seed: 8,
        absent: [silent],
        startAtMs: new Map([
          [second, HOUR_MS],
          [third, 6 * HOUR_MS],
        ]),
        maxTimeMs: 7 * HOUR_MS,
      })
      expectAgreement(late, [...results.values()])
      for (const { failedViews } of results.values()) expect(failedViews).toEqual([])
    })

  it('row 52: a certificate held back for days still finds the shares it certifies: time alone erases none', () => {
    const results = simulate({ committee, seed: 9 })
    const certificate = results.get(leaderIndex)?.certificate ?? new Uint8Array()
    const holders = committee.identities.map((identity) => {
      const bench = new Bench(committee, identity)
      bench.step(seeds(identity.index))
      for (const name of ['join', 'joinset', 'deal', 'vouch', 'propose', 'vote'] as const)
        bench.hear(...sentBy(results.values(), name).filter(({ header }) => header.from !== identity.index))
      expect(bench.state.prepared.size).toBe(1)
      // The commits never come: the view ends, and the next ones wait for members for two days of retransmissions.
      bench.step({ type: 'timer', name: 'view', view: 0 })
      for (let at = 0; at < 100; at++) bench.step({ type: 'timer', name: 'retransmit', view: 1 })
      bench.restart()
      const [done] = bench.step({ type: 'certificate', certificate }).filter(({ type }) => type === 'complete')
      return done?.type === 'complete' && done.share !== undefined
    })
    expect(holders).toEqual(committee.identities.map(() => true))
  })
})

describe('row 53: a ceremony that is given up', () => {
  const small = simulatedCommittee({ n: 4, t: 2, seed: 2 })
  const giveUp = (node: number, atMs: number) => ({ atMs, node, input: { type: 'abandon' } as const })

  it('Q ABANDONs decide against it, and nothing of it is kept', () => {
    const [absent = 0, reluctant = 0] = others(small)
    const willing = small.identities.filter(({ index }) => index !== reluctant && index !== absent)
    const two = simulate({
      committee: small,
      seed: 3,
      absent: [absent],
      lose: ({ header }) => header.name === 'joinset',
      events: willing.map(({ index }) => giveUp(index, 1_000)),
      maxTimeMs: 30_000,
    })
    for (const { phase, index } of two.values()) expect(phase === 'left', `node ${index}`).toBe(index !== reluctant)
    for (const { abandoned } of two.values()) expect(abandoned).toBe(false)
    const three = simulate({
      committee: small,
      seed: 3,
      absent: [absent],
      lose: ({ header }) => header.name === 'joinset',
      events: small.identities.map(({ index }) => giveUp(index, 1_000)),
      maxTimeMs: 30_000,
    })
    for (const result of three.values()) {
      expect(result.phase).toBe('abandoned')
      expect(result.abandoned).toBe(true)
    }
  })

  it('a holder of a CERT1 refuses, and the ceremony is certified after all', () => {
    const results = simulate({
      committee: small,
      seed: 4,
      lose: ({ header }, _to, timeMs) => header.name === 'commit' && timeMs < 3_000,
      events: small.identities.map(({ index }) => giveUp(index, 2_000)),
    })
    expectAgreement(small, [...results.values()])
    for (const { abandonRefused } of results.values()) expect(abandonRefused).toContain('quorum has voted')
  })
})
