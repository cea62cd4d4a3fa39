import { partiesOf } from '../../packages/dkg/src/ceremony/parties.ts'
import { describe, expect, it } from 'vitest'
import { type CeremonySpec, ceremonyId, configHash } from '../../packages/dkg/src/ceremony/config.ts'
import { encodeEvidence } from '../../packages/dkg/src/ceremony/evidence.ts'
import { verifyEvidence } from '../../packages/dkg/src/evidence/verify-evidence.ts'
import { createComplaint } from '../../packages/dkg/src/ceremony/complaint.ts'
import { expandReceiverSeed } from '../../packages/dkg/src/ceremony/seeds.ts'
import { decodeDeal, decodeJoinset, encodeComplain, encodeJoinset } from '../../packages/dkg/src/ceremony/messages.ts'
import { keygenKeyId, type Outcome } from '../../packages/dkg/src/ceremony/outcome.ts'
import {
  decodeSigned,
  messageHash,
  signMessage,
  type SignedMessage,
} from '../../packages/dkg/src/ceremony/signed-message.ts'
import type { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { KeyId, SharingId } from '../../packages/dkg/src/primitives/types.ts'
import { dealBadShare, hideJoinOf, proposeOther, repeatAs } from '../support/adversaries.ts'
import { expectAgreement, expectNamed, leader, others, qualified } from '../support/expectations.ts'
import { bytesOf, simulatedCommittee } from '../support/simulated-committee.ts'
import { nodeSeed, type NodeResult, simulate } from '../support/simulation.ts'

const committee = simulatedCommittee({ n: 5, t: 3, seed: 1 })
const leaderIndex = leader(committee)
const [culprit = 0, victim = 0] = others(committee)
const pin = { configHash: configHash(committee.spec.newConfig) }

const sentBy = (result: NodeResult | undefined, name: string): SignedMessage[] =>
  (result?.sent ?? []).map((signed) => decodeSigned(signed)).filter(({ header }) => header.name === name)

const identity = (index: number) => {
  const found = committee.identities.find((candidate) => candidate.index === index)
  if (found === undefined) throw new Error(`node ${index} is not in the committee`)
  return found
}

describe('what a faulty member may send without harm', () => {
  for (const name of ['joinset', 'propose'] as const)
    it(`row 10: a ${name.toUpperCase()} of a member that does not lead is dropped, and nobody is blamed without proof`, () => {
      for (const moment of ['join', 'deal', 'vouch'] as const) {
        const tamper = new Map([[culprit, repeatAs(committee, culprit, moment, (header) => ({ ...header, name }))]])
        const results = simulate({ committee, seed: 4, tamper })
        expectAgreement(committee, [...results.values()])
        expect([...results.values()].flatMap(({ faults }) => faults)).toEqual([])
        expect(qualified(committee, results.get(victim))).toContain(culprit)
      }
    })

  it('messages of views that have not begun change nothing and prove nothing', () => {
    for (const name of ['deal', 'vote'] as const) {
      const tamper = new Map([[culprit, repeatAs(committee, culprit, name, (header) => ({ ...header, view: 1 }))]])
      const results = simulate({ committee, seed: 4, tamper })
      expectAgreement(committee, [...results.values()])
      expect([...results.values()].flatMap(({ faults }) => faults)).toEqual([])
    }
  })

  it('a JOIN of a later view beside a COMMIT that it hides names the member, and moves nobody', () => {
    const tamper = new Map([[culprit, repeatAs(committee, culprit, 'join', (header) => ({ ...header, view: 1 }))]])
    const results = simulate({ committee, seed: 4, tamper })
    expectAgreement(committee, [...results.values()])
    expectNamed(
      committee,
      [...results.values()].filter(({ faults }) => faults.length > 0),
      culprit,
      ['E2'],
    )
    for (const { failedViews } of results.values()) expect(failedViews).toEqual([])
  })

  it('a leader that hides the JOIN of one member from it does not cost that member its share', () => {
    const tamper = new Map([[leaderIndex, hideJoinOf(committee, leaderIndex, victim)]])
    const results = simulate({ committee, seed: 4, tamper })
    expectAgreement(committee, [...results.values()])
    for (const { faults } of results.values()) expect(faults.map(({ culprit: named }) => named)).toEqual([leaderIndex])
  })
})

describe('a member whose JOIN comes too late', () => {
  it('sees the certificate, gets no share, and keeps no secret', () => {
    const secrets = new Set<Secret>()
    const lose = ({ header }: SignedMessage, _to: number, timeMs: number): boolean =>
      header.name === 'join' && header.from === victim && timeMs < 3_000
    const results = simulate({
      committee,
      seed: 4,
      lose,
      watch: (index, { state: { receiverKeys } }) => {
        if (index === victim) for (const { key } of receiverKeys.values()) secrets.add(key)
      },
    })
    expectAgreement(
      committee,
      [...results.values()].filter(({ index }) => index !== victim),
    )
    const late = results.get(victim)
    expect(late?.phase).toBe('archived')
    expect(late?.certificate).toBeDefined()
    expect(late?.share).toBeUndefined()
    expect(sentBy(late, 'vote')).toEqual([])
    expect([...secrets].map((secret) => secret.destroyed)).toEqual([true])
    expect([...results.values()].flatMap(({ faults }) => faults)).toEqual([])
  })
})

describe('who votes, and when', () => {
  it('a member whose share is bad does not vote, though its complaint reaches nobody', () => {
    const tamper = new Map([[culprit, dealBadShare(committee, culprit, victim)]])
    const lose = ({ header }: SignedMessage): boolean => header.name === 'complain'
    const results = simulate({ committee, seed: 4, tamper, lose, maxTimeMs: 3_000 })
    const cheated = results.get(victim)
    expect(sentBy(cheated, 'complain').length).toBeGreaterThan(0)
    expect(sentBy(cheated, 'vote')).toEqual([])
    expect(cheated?.share).toBeUndefined()
    for (const { certificate } of results.values()) expect(certificate).toBeUndefined()
  })

  it('nobody votes or commits in a view that it left: votes that were held back too long are made anew in the next', () => {
    const lose = ({ header }: SignedMessage): boolean => header.name === 'vote' && header.view === 0
    const results = [...simulate({ committee, seed: 4, lose }).values()]
    expectAgreement(committee, results)
    for (const result of results) {
      expect(sentBy(result, 'commit').map(({ header }) => header.view)).not.toContain(0)
      expect(result.failedViews.map(({ view }) => view)).toEqual([0])
    }
  })
})

describe('a leader that proposes what its dealings do not give', () => {
  const { generator } = committee.curve
  const rekeyed = (outcome: Outcome): Outcome => ({
    ...outcome,
    keyId: keygenKeyId(committee.spec, outcome.commitment[0] ?? generator, outcome.sid),
  })
  const lies: readonly (readonly [string, (outcome: Outcome) => Outcome])[] = [
    ['another key id', (outcome) => ({ ...outcome, keyId: bytesOf('other') as KeyId })],
    ['another ceremony', (outcome) => ({ ...outcome, ceremony: bytesOf('other') as Outcome['ceremony'] })],
    ['a view that never was', (outcome) => ({ ...outcome, view: 7 })],
    ['fewer dealings than a quorum', (outcome) => ({ ...outcome, dealings: outcome.dealings.slice(0, 2) })],
    // Not in QUAL itself: being named faulty takes nothing away from it, only the voters' own sums do.
    [
      'sums of more dealings than it names',
      (outcome) => ({ ...outcome, dealings: outcome.dealings.filter(({ dealer }) => dealer !== leaderIndex) }),
    ],
    [
      'another public key',
      (outcome) => rekeyed({ ...outcome, commitment: [generator, ...outcome.commitment.slice(1)] }),
    ],
    [
      'another top coefficient',
      (outcome) => ({ ...outcome, commitment: [...outcome.commitment.slice(0, -1), generator] }),
    ],
  ]
  for (const [name, change] of lies)
    it(`proposes ${name}: nobody votes, everybody can prove it`, () => {
      const tamper = new Map([[leaderIndex, proposeOther(committee, leaderIndex, change)]])
      const results = simulate({ committee, seed: 4, tamper })
      expectNamed(committee, results.values(), leaderIndex, ['E5'])
      for (const result of results.values())
        if (result.index !== leaderIndex)
          expect(sentBy(result, 'vote').filter(({ header }) => header.view === 0)).toEqual([])
    })
})

describe('evidence cannot frame an honest node', () => {
  const results = simulate({ committee, seed: 4 })
  const [joinset] = sentBy(results.get(leaderIndex), 'joinset')
  const [deal] = sentBy(results.get(victim), 'deal')
  if (joinset === undefined || deal === undefined) throw new Error('the run has no JOINSET or DEAL')
  const { sign } = identity(leaderIndex)
  const verdict = (
    kind: 'E1' | 'E2' | 'E3' | 'E4' | 'E5',
    messages: readonly SignedMessage[],
    spec: CeremonySpec = committee.spec,
  ) => verifyEvidence(committee.curve, committee.verify, encodeEvidence(kind, spec, messages), pin)

  it('a leader that signs a second JOINSET does not make an honest DEAL malformed', () => {
    const fewer = decodeJoinset(partiesOf(committee.spec), joinset.payload).filter(
      (join) => decodeSigned(join).header.from !== culprit,
    )
    const second = signMessage(sign, joinset.header, encodeJoinset(fewer))
    expect(verdict('E1', [second, deal])).toBeUndefined()
    expect(verdict('E2', [joinset, second])?.culprit).toBe(leaderIndex)
    expect(verdict('E5', [second])).toBeUndefined()
  })

  it('a DEAL, JOINSET and VOTE of an honest run prove nothing, alone or in pairs', () => {
    const [vote] = sentBy(results.get(victim), 'vote')
    if (vote === undefined) throw new Error('the run has no VOTE')
    expect(verdict('E1', [joinset, deal])).toBeUndefined()
    expect(verdict('E2', [deal, deal])).toBeUndefined()
    expect(verdict('E2', [deal, vote])).toBeUndefined()
    expect(verdict('E5', [joinset])).toBeUndefined()
  })

  it('an honest PROPOSE proves nothing, with its dealings, without them or with others', () => {
    const [propose] = sentBy(results.get(leaderIndex), 'propose')
    const deals = [...results.values()].flatMap((result) => sentBy(result, 'deal').slice(0, 1))
    if (propose === undefined) throw new Error('the run has no PROPOSE')
    expect(deals).toHaveLength(5)
    for (const given of [deals, [], deals.slice(1), deals.toReversed(), [...deals.slice(1), deal]])
      expect(verdict('E5', [propose, ...given])).toBeUndefined()
  })

  it('a dealer that cheated cannot turn the complaint on its victim with a second, good DEAL', () => {
    const tamper = new Map([[culprit, dealBadShare(committee, culprit, victim)]])
    const cheated = simulate({ committee, seed: 4, tamper })
    const [opening] = sentBy(cheated.get(leaderIndex), 'joinset')
    const [good] = sentBy(cheated.get(culprit), 'deal').filter(({ header }) => header.from === culprit)
    const [complaint] = sentBy(cheated.get(victim), 'complain')
    if (opening === undefined || good === undefined || complaint === undefined) throw new Error('no complaint')
    expect(cheated.get(victim)?.faults.map(({ kind }) => kind)).toEqual(['E3'])
    for (const kind of ['E3', 'E4'] as const) expect(verdict(kind, [opening, good, complaint])).toBeUndefined()
  })

  it('a complaint under another session id does not open an honest share to nonsense', () => {
    const accuser = identity(culprit)
    const accusation = {
      sid: bytesOf('another session'),
      dealer: identity(victim).index,
      receiver: accuser.index,
      dealHash: messageHash(deal),
    }
    const { ephemeral } = decodeDeal(committee.curve, partiesOf(committee.spec), deal.payload)
    const receiver = expandReceiverSeed(nodeSeed(0, 'receiver', culprit))
    const payload = encodeComplain(createComplaint(committee.curve, accusation, ephemeral, receiver))
    const complaint = signMessage(accuser.sign, { ...deal.header, name: 'complain', from: accuser.index }, payload)
    for (const kind of ['E3', 'E4'] as const) expect(verdict(kind, [joinset, deal, complaint])).toBeUndefined()
  })

  it('evidence needs the signature of who it names', () => {
    const forged = { ...joinset.header, from: identity(victim).index }
    const other = signMessage(sign, forged, bytesOf('other'))
    const one = signMessage(sign, forged, bytesOf('one'))
    expect(verdict('E2', [one, other])).toBeUndefined()
  })

  it('a message of a resharing is not judged by the rules of a key generation', () => {
    const { kind: _kind, epoch: _epoch, ...common } = committee.spec
    const spec: CeremonySpec = {
      ...common,
      kind: 'reshare',
      epoch: 1,
      keyId: bytesOf('key') as KeyId,
      prevOutcome: bytesOf('outcome') as SharingId,
      oldConfig: committee.spec.newConfig,
    }
    for (const { sign: signer, index } of committee.identities) {
      const header = { ...joinset.header, ceremony: ceremonyId(spec), from: index }
      expect(verdict('E5', [signMessage(signer, header, joinset.payload)], spec)).toBeUndefined()
    }
  })

  it('evidence holds only for the committee that is pinned', () => {
    const bad = signMessage(sign, joinset.header, encodeJoinset([]))
    const bytes = encodeEvidence('E5', committee.spec, [bad])
    expect(verifyEvidence(committee.curve, committee.verify, bytes, pin)?.culprit).toBe(leaderIndex)
    const other = { configHash: configHash(simulatedCommittee({ n: 5, t: 3, seed: 2 }).spec.newConfig) }
    expect(verifyEvidence(committee.curve, committee.verify, bytes, other)).toBeUndefined()
  })
})
