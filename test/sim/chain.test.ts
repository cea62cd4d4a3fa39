import { describe, expect, it } from 'vitest'
import { authorizationStrength, verifyAuthorization } from '../../packages/dkg/src/ceremony/authorization.ts'
import { advanceKey } from '../../packages/dkg/src/ceremony/certificate-chain.ts'
import { followCertificates, followChains } from '../../packages/dkg/src/ceremony/follow-chains.ts'
import { encodeCertificate, type MemberSignature } from '../../packages/dkg/src/ceremony/certificate.ts'
import { checkCertificate } from '../../packages/dkg/src/ceremony/check-certificate.ts'
import { type CeremonySpec, configHash, createConfig, quorum } from '../../packages/dkg/src/ceremony/config.ts'
import {
  verifyCertificate,
  type VerifiedKey,
  verifyHigherAttempt,
  verifyLaterEpoch,
  verifySuccessor,
} from '../../packages/dkg/src/ceremony/verify-certificate.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import type { KeyId, SharingId } from '../../packages/dkg/src/primitives/types.ts'
import { type HandMade, importByHand, keygenByHand, recombine, reshareByHand } from '../support/hand-made.ts'
import { bytesOf, type Identity, simulatedCommittee } from '../support/simulated-committee.ts'

const world = simulatedCommittee({ n: 9, t: 3, seed: 6 })
const { curve, verify, identities } = world
const members = (...indices: readonly number[]): Identity[] => identities.filter(({ index }) => indices.includes(index))
const { clusterId } = world.spec
const first = members(1, 2, 3, 4, 5)
const keygen: CeremonySpec = { ...world.spec, newConfig: createConfig({ clusterId, t: 3, members: first }) }
const genesis = keygenByHand(keygen, first)
const pins = { configHash: configHash(keygen.newConfig) }
const known = verifyCertificate(curve, verify, genesis.bytes, pins)
const second = members(2, 3, 4, 6)
const third = members(3, 4, 6, 7)
const reshared = reshareByHand(genesis, second, 2)
const bad: unknown = expect.objectContaining({ code: 'bad-certificate' })
const degraded: unknown = expect.objectContaining({ code: 'degraded-certificate' })

const successor = (made: HandMade | Uint8Array, previous: VerifiedKey = known, acceptDegraded?: Uint8Array) =>
  verifySuccessor(
    curve,
    verify,
    previous,
    made instanceof Uint8Array ? made : made.bytes,
    acceptDegraded && { acceptDegraded },
  )

const follow = (...made: readonly HandMade[]): VerifiedKey[] =>
  followCertificates(
    curve,
    verify,
    pins,
    made.map(({ bytes }) => bytes),
  )

describe('resharing, the algebra', () => {
  it('keeps the key: any t of the new shares give the secret of the old ones, 5 nodes t = 3 to 4 nodes t = 2', () => {
    const secret = recombine(
      genesis.shares,
      first.slice(0, 3).map(({ index }) => index),
    )
    for (const [one, other] of [
      [2, 3],
      [4, 6],
      [2, 6],
    ] as const)
      expect(recombine(reshared.shares, [participantIndex(one), participantIndex(other)])).toBe(secret)
    expect(reshared.groupKey).toEqual(genesis.groupKey)
    expect(recombine(reshared.shares, [participantIndex(2)])).not.toBe(secret)
  })

  it('makes an old share useless together with t - 1 new ones', () => {
    const secret = recombine(
      genesis.shares,
      first.slice(0, 3).map(({ index }) => index),
    )
    const removed = participantIndex(1)
    for (const { index } of second) {
      const mixed = new Map([...reshared.shares, [removed, genesis.shares.get(removed) ?? 0n]])
      expect(recombine(mixed, [removed, index])).not.toBe(secret)
    }
  })

  it('needs t_old dealers and no more', () => {
    const few = reshareByHand(genesis, second, 2, { dealers: members(1, 3, 5) })
    expect(few.groupKey).toEqual(genesis.groupKey)
    expect(successor(few)).toMatchObject({ dealers: [1, 3, 5], epoch: 1 })
  })
})

describe('the certificate of a resharing', () => {
  it('follows the one before it, and says what it is', () => {
    expect(successor(reshared)).toMatchObject({
      kind: 'reshare',
      epoch: 1,
      attempt: 0,
      t: 2,
      keyId: genesis.keyId,
      sharingId: reshared.sharingId,
      groupKey: genesis.groupKey,
      prevOutcome: genesis.sharingId,
      oldConfigHash: pins.configHash,
      authorization: 'full',
      trustedBy: 'chain',
    })
    expect(known).toMatchObject({ kind: 'keygen', authorization: 'none', trustedBy: 'pin', epoch: 0 })
    expect(encodeCertificate(reshared.certificate)).toEqual(reshared.bytes)
  })

  it('holds under a pin of its own committee, without the chain', () => {
    const pin = { configHash: configHash(reshared.spec.newConfig) }
    expect(verifyCertificate(curve, verify, reshared.bytes, pin)).toMatchObject({ epoch: 1, trustedBy: 'pin' })
    expect(verifyCertificate(curve, verify, reshared.bytes, { ...pin, groupKey: genesis.groupKey }).t).toBe(2)
    const [other] = members(1)
    const wrong = other && importByHand(keygen, other, 5n, second).groupKey
    if (wrong === undefined) throw new Error('no other key')
    expect(() => verifyCertificate(curve, verify, reshared.bytes, { ...pin, groupKey: wrong })).toThrow(bad)
    expect(() => verifyCertificate(curve, verify, reshared.bytes, pins)).toThrow(bad)
  })

  it.each<[string, Parameters<typeof reshareByHand>[4]]>([
    ['another sharing', { prevOutcome: bytesOf('other') as SharingId }],
    ['an epoch that is left out', { epoch: 2 }],
    ['another key name', { keyName: 'ecies/other' }],
    ['another generation', { generation: 2 }],
    ['another purpose', { purpose: 'ckd-dprf' }],
    ['another key id', { keyId: bytesOf('other') as KeyId }],
    ['another old committee', { oldConfig: createConfig({ clusterId, t: 2, members: first }) }],
  ])('does not follow with %s', (_, change) => {
    const other = reshareByHand(genesis, second, 2, {}, change)
    expect(() => successor(other)).toThrow(bad)
    expect(checkCertificate(curve, verify, other.bytes).authorization).not.toBe('none')
  })

  it('does not follow itself, a genesis, or anything when the public key changed', () => {
    expect(() => successor(reshared, successor(reshared))).toThrow(bad)
    expect(() => successor(genesis)).toThrow(bad)
    const shares = new Map(genesis.shares).set(participantIndex(1), 77n)
    const shifted = reshareByHand({ ...genesis, shares }, second, 2)
    expect(shifted.groupKey).not.toEqual(genesis.groupKey)
    expect(() => successor(shifted)).toThrow(bad)
  })

  it('row 20: QUAL below t_old or of strangers, and short lists of votes and commits, are refused', () => {
    expect(() => successor(reshareByHand(genesis, second, 2, { dealers: members(1, 2) }))).toThrow(bad)
    expect(() => successor(reshareByHand(genesis, second, 2, { dealers: members(1, 2, 6) }))).toThrow(bad)
    expect(() => successor(reshareByHand(genesis, second, 2, { voters: members(2, 3) }))).toThrow(bad)
    expect(() => successor(reshareByHand(genesis, second, 2, { voters: [] }))).toThrow(bad)
    expect(() => successor(reshareByHand(genesis, second, 2, { voters: members(1, 2, 3, 4) }))).toThrow(bad)
  })

  it('row 20: AUTH that is empty, short, of strangers, twice the same or partly bad is no AUTH', () => {
    const { spec, certificate } = reshared
    const auth = certificate.authorizations
    const [one, two, three] = auth
    if (one === undefined || two === undefined || three === undefined) throw new Error('no AUTH')
    const broken = { ...two, signature: Uint8Array.from(two.signature, (byte, at) => (at === 3 ? byte ^ 1 : byte)) }
    const lists: readonly (readonly MemberSignature[])[] = [
      [],
      [one, two],
      [one, one, one, one],
      [one, broken, three],
      [...auth, { index: participantIndex(6), signature: one.signature }],
      [{ ...one, index: participantIndex(2) }, ...auth.slice(2)],
    ]
    for (const list of lists) {
      expect(authorizationStrength(verify, spec, list)).toBeUndefined()
      expect(() => successor(encodeCertificate({ ...certificate, authorizations: list }))).toThrow(bad)
    }
    expect(verifyAuthorization(verify, keygen, one)).toBe(false)
    expect(verifyAuthorization(verify, { ...spec, attempt: 1 }, one)).toBe(false)
    expect(authorizationStrength(verify, spec, auth.slice(0, quorum(keygen.newConfig)))).toBe('full')
    expect(authorizationStrength(verify, spec, [one, two, three])).toBe('degraded')
  })

  it('with a degraded AUTH is followed only by whoever pins the new committee', () => {
    const weak = reshareByHand(genesis, second, 2, { authorizers: members(1, 2, 3) })
    const hash = configHash(weak.spec.newConfig)
    expect(() => successor(weak)).toThrow(degraded)
    expect(() => successor(weak, known, pins.configHash)).toThrow(degraded)
    expect(successor(weak, known, hash)).toMatchObject({ authorization: 'degraded', epoch: 1 })
    expect(() => follow(genesis, weak)).toThrow(degraded)
    const trusting = { ...pins, accepted: [hash] }
    expect(followCertificates(curve, verify, trusting, [genesis.bytes, weak.bytes])[0]?.epoch).toBe(1)
    expect(() => follow(genesis, weak)).toThrow(
      expect.objectContaining({ data: { configHash: `0x${Buffer.from(hash).toString('hex')}`, epoch: 1 } }),
    )
  })

  it('that was agreed in a later view carries two lists of votes, and both count', () => {
    const later = reshareByHand(genesis, second, 2, { view: 3 })
    expect(successor(later).epoch).toBe(1)
    const { certificate } = later
    for (const laterVotes of [[], certificate.laterVotes.slice(0, 2)])
      expect(() => successor(encodeCertificate({ ...certificate, laterVotes }))).toThrow(bad)
    expect(() => successor(encodeCertificate({ ...certificate, view: 4 }))).toThrow(bad)
  })
})

describe('attempts and epochs', () => {
  const rival = reshareByHand(genesis, third, 2, {}, { attempt: 1 })

  it('of several attempts the highest counts, in whatever order they come', () => {
    expect(follow(genesis, reshared, rival)[0]?.sharingId).toEqual(rival.sharingId)
    expect(follow(rival, reshared, genesis)[0]?.sharingId).toEqual(rival.sharingId)
    const moved = advanceKey(curve, verify, successor(reshared), [rival.bytes])
    expect(moved.key.sharingId).toEqual(rival.sharingId)
    expect(advanceKey(curve, verify, successor(rival), [reshared.bytes])).toMatchObject({ steps: [], refused: [] })
    expect(() => verifyHigherAttempt(curve, verify, successor(rival), reshared.bytes)).toThrow(bad)
    expect(() => verifyHigherAttempt(curve, verify, known, genesis.bytes)).toThrow(bad)
  })

  it('never goes below an epoch already seen', () => {
    const next = reshareByHand(reshared, third, 2)
    const current = successor(next, successor(reshared))
    const all = [genesis.bytes, reshared.bytes, rival.bytes, next.bytes]
    expect(advanceKey(curve, verify, current, all)).toMatchObject({ key: { epoch: 2 }, steps: [] })
  })

  it('walks several committees, and as far as one committee goes in one step', () => {
    const chain = [genesis]
    const committees: readonly (readonly [readonly Identity[], number])[] = [
      [first, 3],
      [first, 3],
      [second, 2],
      [second, 2],
      [second, 2],
      [third, 2],
    ]
    for (const [next, t] of committees) chain.push(reshareByHand(chain.at(-1) ?? genesis, next, t))
    const bytes = chain.map((made) => made.bytes)
    const [way] = followChains(curve, verify, pins, bytes)
    expect(way?.key).toMatchObject({ epoch: 6, sharingId: chain.at(-1)?.sharingId })
    expect(way?.steps.map(({ epoch }) => epoch)).toEqual([0, 2, 3, 5, 6])
    const needed = way?.steps.map(({ certificate }) => certificate) ?? []
    expect(followCertificates(curve, verify, pins, needed.toReversed())[0]?.epoch).toBe(6)
    const [, , last] = needed
    if (last === undefined) throw new Error('no third certificate')
    const gap = needed.filter((certificate) => certificate !== last)
    expect(() => followCertificates(curve, verify, pins, gap)).toThrow(bad)
  })

  it('a later epoch of the same committee needs that committee, that key and a later epoch', () => {
    const refreshed = reshareByHand(genesis, first, 3)
    const again = reshareByHand(refreshed, first, 3)
    expect(verifyLaterEpoch(curve, verify, known, again.bytes)).toMatchObject({ epoch: 2, trustedBy: 'chain' })
    const current = verifyLaterEpoch(curve, verify, known, again.bytes)
    expect(() => verifyLaterEpoch(curve, verify, current, refreshed.bytes)).toThrow(bad)
    expect(() => verifyLaterEpoch(curve, verify, known, reshared.bytes)).toThrow(bad)
    const other = keygenByHand({ ...keygen, keyName: 'ecies/other' }, first)
    expect(() => verifyLaterEpoch(curve, verify, known, reshareByHand(other, first, 3).bytes)).toThrow(bad)
  })

  it('trusts a new key of a committee that the chain of another key reached, and of no other', () => {
    const secondConfig = reshared.spec.newConfig
    const rotated = keygenByHand({ ...keygen, generation: 2, newConfig: secondConfig }, second)
    const other = keygenByHand({ ...keygen, keyName: 'ecies/other', newConfig: secondConfig }, second)
    const keys = followCertificates(curve, verify, pins, [rotated.bytes, other.bytes, genesis.bytes, reshared.bytes])
    expect(keys.map(({ generation, keyName }) => `${keyName} ${generation}`)).toEqual([
      'ecies/test 2',
      'ecies/other 1',
      'ecies/test 1',
    ])
    expect(keys[0]).toMatchObject({ epoch: 0, trustedBy: 'chain' })
    const [way] = followChains(curve, verify, pins, [rotated.bytes, genesis.bytes, reshared.bytes])
    expect(way?.support).toEqual([genesis.bytes, reshared.bytes])
    expect(() => followCertificates(curve, verify, pins, [rotated.bytes, genesis.bytes])).toThrow(bad)
    expect(() => followCertificates(curve, verify, pins, [rotated.bytes])).toThrow(bad)
    const elsewhere = createConfig({ clusterId, t: 2, members: third })
    const strangers = keygenByHand({ ...keygen, generation: 2, newConfig: elsewhere }, third)
    expect(() => follow(genesis, reshared, strangers)).toThrow(bad)
    const successorOfRotated = reshareByHand(rotated, third, 2)
    expect(follow(genesis, reshared, rotated, successorOfRotated).map(({ epoch }) => epoch)).toEqual([1, 1])
  })

  it('lets no committee that was given one key make the next generation of another', () => {
    const prized = keygenByHand({ ...keygen, keyName: 'ecies/prized' }, first)
    const taken = keygenByHand(
      { ...keygen, keyName: 'ecies/prized', generation: 2, newConfig: reshared.spec.newConfig },
      second,
    )
    expect(() => follow(genesis, reshared, prized, taken)).toThrow(bad)
    expect(follow(genesis, reshared, prized, reshareByHand(prized, second, 2), taken)).toHaveLength(3)
  })

  it('finds the committee of a new key also where the chain went past it in one step', () => {
    const back = reshareByHand(reshared, first, 3)
    const rotated = keygenByHand({ ...keygen, generation: 2, newConfig: reshared.spec.newConfig }, second)
    expect(follow(genesis, reshared, back, rotated).map(({ epoch }) => epoch)).toEqual([2, 0])
  })

  it('takes what holds from anybody and names what does not', () => {
    const forged = Uint8Array.from(reshared.bytes, (byte, at) => (at === reshared.bytes.length - 1 ? byte ^ 1 : byte))
    const moved = advanceKey(curve, verify, known, [Uint8Array.of(1), forged, reshared.bytes])
    expect(moved.key.sharingId).toEqual(reshared.sharingId)
    expect(moved.refused.map(({ code }) => code)).toEqual(['bad-certificate', 'bad-certificate'])
    expect(() => followCertificates(curve, verify, pins, [genesis.bytes, forged])).toThrow(bad)
    expect(() => followCertificates(curve, verify, pins, [reshared.bytes])).toThrow(bad)
  })
})
