import { partiesOf } from '../../packages/dkg/src/ceremony/parties.ts'
import { beforeAll, describe, expect, it } from 'vitest'
import { type Certificate, decodeCertificate, encodeCertificate } from '../../packages/dkg/src/ceremony/certificate.ts'
import { verifyCertificate } from '../../packages/dkg/src/ceremony/verify-certificate.ts'
import {
  ceremonyId,
  type CommitteeConfig,
  configHash,
  createConfig,
  faultTolerance,
} from '../../packages/dkg/src/ceremony/config.ts'
import { verifyEvidence } from '../../packages/dkg/src/evidence/verify-evidence.ts'
import { encodeVote } from '../../packages/dkg/src/ceremony/messages.ts'
import { encodeOutcome, outcomeHash } from '../../packages/dkg/src/ceremony/outcome.ts'
import {
  decodeSigned,
  MESSAGE_NAMES,
  type MessageName,
  type SignedMessage,
  signMessage,
  verifySigned,
} from '../../packages/dkg/src/ceremony/signed-message.ts'
import { attempt } from '../../packages/dkg/src/primitives/codec.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import type { KeyId } from '../../packages/dkg/src/primitives/types.ts'
import { bytesOf, type Committee, simulatedCommittee } from '../support/simulated-committee.ts'
import { simulate } from '../support/simulation.ts'

let committee: Committee
let config: CommitteeConfig
let certificate: Certificate
let bytes: Uint8Array
let messages: SignedMessage[]

beforeAll(() => {
  committee = simulatedCommittee({ n: 4, t: 2, seed: 21, signatures: 'ed25519' })
  config = committee.spec.newConfig
  const results = [...simulate({ committee, seed: 1 }).values()]
  bytes = results[0]?.certificate ?? new Uint8Array()
  certificate = decodeCertificate(committee.curve, bytes)
  messages = results.flatMap(({ sent }) => sent.map((signed) => decodeSigned(signed)))
})

const verifies = (candidate: Uint8Array, pinned: CommitteeConfig = config): boolean =>
  attempt(() => verifyCertificate(committee.curve, committee.verify, candidate, { configHash: configHash(pinned) })) !==
  undefined

const changed = (change: Partial<Certificate>): Uint8Array => encodeCertificate({ ...certificate, ...change })

/** A certificate over other bytes, with votes and commits that its members did sign for them. */
function signedAnew(change: Partial<Certificate>): Uint8Array {
  const next = { ...certificate, ...change }
  const ceremony = ceremonyId(next.spec)
  const firstView = next.outcome.view
  const o = outcomeHash(encodeOutcome(next.outcome))
  const by = (name: MessageName, view: number, payload: Uint8Array) =>
    committee.identities.map(({ index, sign }) => ({
      index,
      signature: signMessage(sign, { name, ceremony, view, from: index }, payload).signature,
    }))
  const votes = by('vote', firstView, encodeVote({ outcomeHash: o, holds: true }))
  return encodeCertificate({ ...next, votes, commits: by('commit', next.view, o) })
}

/** Votes of all members for the outcome of `certificate` in a later view, one of them without a share. */
const votesOfView = (view: number) =>
  committee.identities.map(({ index, sign }, at) => {
    const { ceremony } = certificate.outcome
    const holds = at > 0
    const payload = encodeVote({ outcomeHash: outcomeHash(encodeOutcome(certificate.outcome)), holds })
    return {
      index,
      holds,
      signature: signMessage(sign, { name: 'vote', ceremony, view, from: index }, payload).signature,
    }
  })

describe('certificates, as a client checks them', () => {
  it('the real one verifies and encodes to itself', () => {
    expect(verifies(bytes)).toBe(true)
    expect(encodeCertificate(certificate)).toEqual(bytes)
  })

  it('row 20: empty, short and duplicated signer lists are false, never vacuously true', () => {
    const { votes, commits } = certificate
    const [first] = votes
    if (first === undefined) throw new Error('no votes')
    for (const list of [[], votes.slice(0, 2), [first, first, first]])
      expect(verifies(changed({ votes: list }))).toBe(false)
    for (const list of [[], commits.slice(0, 2)]) expect(verifies(changed({ commits: list }))).toBe(false)
    expect(verifies(changed({ commits: votes, votes: commits }))).toBe(false)
  })

  it('one bad signature in a list makes the whole certificate bad', () => {
    const [first, ...rest] = certificate.votes
    if (first === undefined) throw new Error('no votes')
    const signature = Uint8Array.from(first.signature)
    signature[40] = (signature[40] ?? 0) ^ 1
    expect(verifies(changed({ votes: [{ ...first, signature }, ...rest] }))).toBe(false)
    const stranger = { index: participantIndex(9), signature: first.signature }
    expect(verifies(changed({ votes: [...certificate.votes, stranger] }))).toBe(false)
  })

  it('another key, key id, view, generation or committee than the signed one is refused', () => {
    const { outcome, spec } = certificate
    const commitment = outcome.commitment.toReversed()
    expect(verifies(changed({ outcome: { ...outcome, commitment } }))).toBe(false)
    expect(verifies(changed({ outcome: { ...outcome, keyId: bytesOf('other key') as KeyId } }))).toBe(false)
    expect(verifies(changed({ outcome: { ...outcome, dealings: [] } }))).toBe(false)
    expect(verifies(changed({ spec: { ...spec, generation: 2 } }))).toBe(false)
    expect(verifies(changed({ spec: { ...spec, purpose: 'ckd-dprf' } }))).toBe(false)
    const other = simulatedCommittee({ n: 4, t: 2, seed: 22 }).spec.newConfig
    expect(verifies(bytes, other)).toBe(false)
  })

  it('a quorum cannot certify what the protocol does not allow: its signatures are not all that is checked', () => {
    const { outcome, spec } = certificate
    expect(verifies(signedAnew({}))).toBe(true)
    expect(verifies(signedAnew({ outcome: { ...outcome, keyId: bytesOf('other key') as KeyId } }))).toBe(false)
    expect(verifies(signedAnew({ outcome: { ...outcome, sid: bytesOf('other session') } }))).toBe(false)
    expect(verifies(signedAnew({ outcome: { ...outcome, dealings: outcome.dealings.slice(0, 2) } }))).toBe(false)
    const [first, ...rest] = outcome.dealings
    if (first === undefined) throw new Error('no dealings')
    const stranger = { dealer: participantIndex(9), dealHash: first.dealHash }
    expect(verifies(signedAnew({ outcome: { ...outcome, dealings: [...rest, stranger] } }))).toBe(false)
    expect(verifies(signedAnew({ spec: { ...spec, notAfter: 1 } }))).toBe(false)
  })

  it('commits of another view than the votes need votes of that view too', () => {
    const later = certificate.votes.map((vote) => ({ ...vote, holds: true }))
    expect(verifies(signedAnew({ view: 1 }))).toBe(false)
    expect(verifies(signedAnew({ view: 1, laterVotes: later }))).toBe(false)
    expect(verifies(signedAnew({ view: 1, laterVotes: votesOfView(1) }))).toBe(true)
  })

  it('every truncation and every flipped byte is refused', () => {
    const step = 23
    for (let at = 0; at < bytes.length; at += step) {
      const flipped = Uint8Array.from(bytes)
      flipped[at] = (flipped[at] ?? 0) ^ 0x10
      expect(verifies(flipped), `byte ${at}`).toBe(false)
      expect(verifies(bytes.subarray(0, at)), `length ${at}`).toBe(false)
    }
  })
})

describe('signed messages', () => {
  it('row 22: a signature of one type is not a signature of any other', () => {
    const byName = new Map(messages.map((message) => [message.header.name, message]))
    expect(byName.size).toBeGreaterThanOrEqual(7)
    for (const message of byName.values()) {
      expect(verifySigned(committee.verify, partiesOf(committee.spec), message)).toBe(true)
      for (const name of MESSAGE_NAMES) {
        if (name === message.header.name) continue
        const body = Uint8Array.from(message.body)
        body[0] = MESSAGE_NAMES.indexOf(name) + 1
        const asOther = { ...message, body, header: { ...message.header, name } }
        expect(
          verifySigned(committee.verify, partiesOf(committee.spec), asOther),
          `${message.header.name} as ${name}`,
        ).toBe(false)
        expect(
          verifySigned(committee.verify, partiesOf(committee.spec), {
            ...message,
            header: { ...message.header, name },
          }),
        ).toBe(false)
      }
    }
  })

  it('row 23: a message says who made it, and only that member can have signed it', () => {
    const [message] = messages
    const thief = committee.identities.find(({ index }) => index !== message?.header.from)
    if (message === undefined || thief === undefined) throw new Error('no messages')
    const forged = signMessage(thief.sign, message.header, message.payload)
    expect(verifySigned(committee.verify, partiesOf(committee.spec), forged)).toBe(false)
  })

  it('honest messages are no evidence of anything', () => {
    const pin = { configHash: configHash(config) }
    for (const noise of [new Uint8Array(), bytes, messages[0]?.bytes ?? bytes])
      expect(verifyEvidence(committee.curve, committee.verify, noise, pin)).toBeUndefined()
  })
})

describe('committee configs', () => {
  it('f follows from n and t as in the table of protocol 1', () => {
    const table: readonly (readonly [number, number, number])[] = [
      [3, 2, 0],
      [4, 2, 1],
      [5, 3, 1],
      [7, 3, 2],
      [7, 4, 1],
      [9, 5, 2],
      [10, 4, 3],
      [16, 6, 5],
      [16, 9, 3],
      [64, 22, 21],
      [64, 33, 15],
    ]
    for (const [n, t, f] of table) expect(faultTolerance(n, t), `n = ${n}, t = ${t}`).toBe(f)
  })

  it('refuses thresholds out of range, small committees and repeated members', () => {
    const { clusterId, members } = config
    const [first] = members
    if (first === undefined) throw new Error('no members')
    for (const t of [0, 1, 4, 5, 2.5]) expect(attempt(() => createConfig({ clusterId, t, members }))).toBeUndefined()
    expect(attempt(() => createConfig({ clusterId, t: 2, members: members.slice(0, 2) }))).toBeUndefined()
    expect(attempt(() => createConfig({ clusterId, t: 2, members: [...members, first] }))).toBeUndefined()
    const twin = { ...first, index: participantIndex(40) }
    expect(attempt(() => createConfig({ clusterId, t: 2, members: [...members, twin] }))).toBeUndefined()
  })
})
