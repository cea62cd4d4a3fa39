import { describe, expect, it } from 'vitest'
import { createDeal, dealCommitment, dealtPoints } from '../../packages/dkg/src/ceremony/dealing.ts'
import { openSession } from '../../packages/dkg/src/ceremony/join.ts'
import { decodeDeal, decodeJoin, encodeDeal, encodeJoin } from '../../packages/dkg/src/ceremony/messages.ts'
import { combineCommitments } from '../../packages/dkg/src/ceremony/outcome.ts'
import { partiesOf } from '../../packages/dkg/src/ceremony/parties.ts'
import { expandDealingSeed } from '../../packages/dkg/src/ceremony/seeds.ts'
import { decodeSigned, signMessage, type SignedMessage } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { sharingOf, reshareOf, type Sharing } from '../support/simulated-reshare.ts'
import { modOrder, openScalar, secretScalar } from '../../packages/dkg/src/primitives/scalar.ts'
import { dealBadShare } from '../support/adversaries.ts'
import { expectAgreement, expectNamed, honest, others, qualified } from '../support/expectations.ts'
import { type Identity, simulatedCommittee } from '../support/simulated-committee.ts'
import { nodeSeed, simulate, type Tamper } from '../support/simulation.ts'

const committee = simulatedCommittee({ n: 5, t: 3, seed: 1 })
const parties = partiesOf(committee.spec)
const { curve } = committee
const [culprit = 0, victim = 0] = others(committee)

function identity(index: number): Identity {
  const found = committee.identities.find((candidate) => candidate.index === index)
  if (found === undefined) throw new Error(`node ${index} is not in the committee`)
  return found
}

describe('dealers that cheat', () => {
  it('row 12: every single (dealer, receiver) pair corrupted in turn names the dealer', { timeout: 60_000 }, () => {
    for (const dealer of [1, 2, 3, 4, 5])
      for (const receiver of [1, 2, 3, 4, 5]) {
        if (dealer === receiver) continue
        const tamper = new Map([[dealer, dealBadShare(committee, dealer, receiver)]])
        const results = simulate({ committee, seed: dealer * 10 + receiver, tamper })
        expectAgreement(committee, honest(results, dealer))
        expectNamed(committee, honest(results, dealer), dealer, ['E3'])
        expect(qualified(committee, results.get(receiver))).not.toContain(dealer)
      }
  })

  it('row 2: a top coefficient that sums to nothing is no outcome, and commit-then-open keeps dealers from forcing it', () => {
    const points = [1n, 2n, 3n].map((value) => curve.mulBaseSecret(secretScalar(value)))
    const [one, two, three] = points
    if (one === undefined || two === undefined || three === undefined) throw new Error('there are three points')
    const minus = curve.mulBaseSecret(secretScalar(modOrder(-3n)))
    const cancelled = [
      [one, one],
      [two, two],
      [three, minus],
    ]
    expect(combineCommitments(curve, [1n, 1n, 1n], cancelled)).toBeUndefined()
    // The third dealer would need the openings of the others before it commits: c_i is in its JOIN.
    const late: Tamper = ({ header, bytes }) =>
      header.name === 'deal' || header.name === 'vouch' ? undefined : [bytes]
    const results = simulate({ committee, seed: 4, tamper: new Map([[culprit, late]]) })
    expectAgreement(committee, honest(results, culprit))
    expect(qualified(committee, results.get(victim))).not.toContain(culprit)
  })

  it('row 14: a dealer that copies an honest R_k is excluded by D4, and nobody opens a pad for it', () => {
    const { sign } = identity(culprit)
    let copied: SignedMessage | undefined
    let own: SignedMessage | undefined
    // It waits for the honest dealing it copies from, and sends its own where it would vouch.
    const tamper: Tamper = (message) => {
      const { header, bytes } = message
      if (header.name === 'deal') own ??= message
      if (header.name === 'deal') return undefined
      if (header.name !== 'vouch' || own === undefined || copied === undefined) return [bytes]
      const deal = decodeDeal(curve, parties, own.payload)
      const { ephemeral } = decodeDeal(curve, parties, copied.payload)
      return [signMessage(sign, own.header, encodeDeal({ ...deal, ephemeral })).bytes]
    }
    const results = simulate({
      committee,
      seed: 4,
      tamper: new Map([[culprit, tamper]]),
      overhear: (message) => {
        if (message.header.name === 'deal' && message.header.from === victim) copied ??= message
      },
    })
    expectAgreement(committee, honest(results, culprit))
    expectNamed(committee, honest(results, culprit), culprit, ['E1'])
    const complaints = [...results.values()].flatMap(({ sent }) =>
      sent.filter((bytes) => decodeSigned(bytes).header.name === 'complain'),
    )
    expect(complaints).toEqual([])
  })

  it('row 54: a member that joins first with the receiver key of another costs that one nothing', () => {
    const { sign } = identity(culprit)
    let copied: SignedMessage | undefined
    const tamper: Tamper = ({ header, payload, bytes }) => {
      if (header.name !== 'join' || copied === undefined) return header.name === 'join' ? undefined : [bytes]
      const own = decodeJoin(curve, parties, payload)
      const { receiverKey } = decodeJoin(curve, parties, copied.payload)
      return [signMessage(sign, header, encodeJoin({ ...own, ...(receiverKey && { receiverKey }) })).bytes]
    }
    const results = simulate({
      committee,
      seed: 4,
      tamper: new Map([[culprit, tamper]]),
      overhear: (message) => {
        if (message.header.name === 'join' && message.header.from === victim) copied ??= message
      },
    })
    expectAgreement(committee, honest(results, culprit))
    expect(qualified(committee, results.get(victim))).toContain(victim)
  })

  it('row 7: every message of one ceremony is dropped by the next', () => {
    const recorded = [...simulate({ committee, seed: 4 }).values()].flatMap(({ sent }) => sent)
    const next = { ...committee, spec: { ...committee.spec, generation: 2 } }
    const reference = expectAgreement(next, [...simulate({ committee: next, seed: 4 }).values()])
    const results = [...simulate({ committee: next, seed: 4, garbage: recorded }).values()]
    expect(expectAgreement(next, results).sharingId).toEqual(reference.sharingId)
    expect(results.flatMap(({ faults }) => faults)).toEqual([])
    expect(recorded.length).toBeGreaterThan(25)
  })
})

describe('dealers of a RESHARE', () => {
  const genesis = (): Sharing => sharingOf(committee, simulate({ committee, seed: 1 }))

  it('row 25: a dealer that deals another value than its old share is proven faulty, the others finish, the key stays', () => {
    const sharing = genesis()
    const next = reshareOf(sharing, { members: committee.identities, t: 3 })
    const nextParties = partiesOf(next.spec, next.previous)
    const { sign } = identity(culprit)
    const share = sharing.shares.get(culprit)
    if (share === undefined) throw new Error('the culprit has a share')
    const wrong = secretScalar(modOrder(openScalar(share) + 1n))
    const receivers = next.spec.newConfig.members.map(({ index }) => index)
    const dealt = () => expandDealingSeed(nodeSeed(0, 'dealing', culprit), 3, receivers, wrong)
    let joinset: SignedMessage | undefined
    // Committed to in its JOIN and dealt where it would vouch: everything about the dealing holds but its constant term.
    const tamper: Tamper = ({ header, payload, bytes }) => {
      if (header.name === 'join') {
        const { commitment, ephemeral } = dealtPoints(curve, dealt())
        const nonce = dealt().nonce.use((value) => Uint8Array.from(value))
        const dealCommit = dealCommitment({ ...header, dealer: header.from, nonce, commitment, ephemeral })
        return [signMessage(sign, header, encodeJoin({ ...decodeJoin(curve, nextParties, payload), dealCommit })).bytes]
      }
      if (header.name === 'deal') return undefined
      const session = joinset && openSession({ curve, verify: next.verify, parties: nextParties }, joinset)
      if (header.name !== 'vouch' || session === undefined) return [bytes]
      const deal = createDeal(curve, nextParties, session, { dealer: header.from, secrets: dealt() })
      return [signMessage(sign, { ...header, name: 'deal' }, encodeDeal(deal)).bytes]
    }
    const results = simulate({
      committee: next,
      seed: 5,
      oldShares: sharing.shares,
      tamper: new Map([[culprit, tamper]]),
      overhear: (message) => {
        if (message.header.name === 'joinset') joinset ??= message
      },
    })
    const key = expectAgreement(next, honest(results, culprit))
    expect(key.groupKey).toEqual(next.previous?.groupKey)
    for (const { faults } of honest(results, culprit))
      expect(faults.map(({ culprit: named, kind }) => ({ named, kind }))).toEqual([{ named: culprit, kind: 'E1' }])
    expect(qualified(next, results.get(victim))).not.toContain(culprit)
  })

  it('row 25: an engine never deals a wrong share by itself: it joins as a receiver only', () => {
    const sharing = genesis()
    const next = reshareOf(sharing, { members: committee.identities, t: 3 })
    const share = sharing.shares.get(culprit)
    if (share === undefined) throw new Error('the culprit has a share')
    const wrong = new Map(sharing.shares).set(culprit, secretScalar(modOrder(openScalar(share) + 1n)))
    const results = simulate({ committee: next, seed: 5, oldShares: wrong })
    expectAgreement(next, [...results.values()])
    expect([...results.values()].flatMap(({ faults }) => faults)).toEqual([])
    expect(qualified(next, results.get(victim))).not.toContain(culprit)
  })

  it('row 26: fewer dealers than the old threshold make no outcome', () => {
    const sharing = genesis()
    const next = reshareOf(sharing, { members: committee.identities, t: 3 })
    const two = new Map([...sharing.shares].slice(0, 2))
    const results = simulate({ committee: next, seed: 5, oldShares: two, maxTimeMs: 20_000 })
    for (const { certificate } of results.values()) expect(certificate).toBeUndefined()
    const three = new Map([...sharing.shares].slice(0, 3))
    expectAgreement(next, [...simulate({ committee: next, seed: 5, oldShares: three }).values()])
  })

  it('row 26: a forged old committee or sharing is refused before anything is sent', () => {
    const sharing = genesis()
    const next = reshareOf(sharing, { members: committee.identities, t: 3 })
    if (next.spec.kind !== 'reshare' || next.previous === undefined) throw new Error('it is a resharing')
    const forged = [
      { ...next.spec, oldConfig: simulatedCommittee({ n: 5, t: 2, seed: 1 }).spec.newConfig },
      { ...next.spec, prevOutcome: next.previous.keyId as never },
      { ...next.spec, epoch: 2 },
    ]
    for (const spec of forged) expect(() => partiesOf(spec, next.previous)).toThrow(/exactly the sharing/)
  })
})
