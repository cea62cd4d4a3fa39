import { encodeCertificate, type MemberSignature } from '../../packages/dkg/src/ceremony/certificate.ts'
import {
  type CeremonySpec,
  ceremonyId,
  type CommitteeConfig,
  configHash,
  createConfig,
  type KeygenSpec,
} from '../../packages/dkg/src/ceremony/config.ts'
import { encodeVote } from '../../packages/dkg/src/ceremony/messages.ts'
import { everybody, type Parties, partiesOf } from '../../packages/dkg/src/ceremony/parties.ts'
import { encodeOutcome, keygenKeyId, outcomeHash } from '../../packages/dkg/src/ceremony/outcome.ts'
import { signMessage } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import { encodeScalar, modOrder } from '../../packages/dkg/src/primitives/scalar.ts'
import type { CeremonyId, ClusterId, ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'
import { commit } from '../../packages/dkg/src/sharing/feldman.ts'
import { evaluatePolynomial } from '../../packages/dkg/src/sharing/polynomial.ts'
import { type VerifiedKey, verifyCertificate } from '../../packages/dkg/src/ceremony/verify-certificate.ts'
import { bytesToNumberBE } from '@noble/curves/utils.js'
import { bytesOf } from '../support/simulated-committee.ts'
import type { Kit } from './identities.ts'
import type { CommitteePlan, ProposalPlan } from './scenario.ts'

/** An X of the run, with the AUTH signatures that exist for it. */
export interface Proposal {
  readonly plan: ProposalPlan
  readonly spec: CeremonySpec
  readonly ceremony: CeremonyId
  /** Hex of the ceremony id. */
  readonly key: string
  readonly parties: Parties
  /** Indices of both committees, ascending. */
  readonly everybody: readonly ParticipantIndex[]
  readonly authorizations: Map<ParticipantIndex, MemberSignature>
}

/** The sharing that a RESHARE starts from, made by a dealer that everybody trusts. */
export interface OldSharing {
  readonly key: VerifiedKey
  /** 32 bytes each. */
  readonly shares: ReadonlyMap<number, Uint8Array>
}

const clusterOf = (seed: number): ClusterId => bytesOf('model cluster', seed) as ClusterId

export function configOf(kit: Kit, seed: number, plan: CommitteePlan): CommitteeConfig {
  return createConfig({
    clusterId: clusterOf(seed),
    t: plan.t,
    members: plan.members.map((index) => kit.identity(participantIndex(index))),
  })
}

function keygenSpec(
  seed: number,
  plan: Pick<ProposalPlan, 'attempt' | 'notAfter'>,
  newConfig: CommitteeConfig,
): KeygenSpec {
  return {
    kind: 'keygen',
    suite: 1,
    clusterId: clusterOf(seed),
    purpose: 'ecies-dec',
    keyName: 'ecies/model',
    generation: 1,
    epoch: 0,
    attempt: plan.attempt,
    newConfig,
    notAfter: plan.notAfter,
  }
}

export function createProposal(kit: Kit, seed: number, plan: ProposalPlan, old: OldSharing | undefined): Proposal {
  const keygen = keygenSpec(seed, plan, configOf(kit, seed, plan.next))
  const spec: CeremonySpec =
    old === undefined
      ? keygen
      : {
          ...keygen,
          kind: 'reshare',
          epoch: 1,
          keyId: old.key.keyId,
          prevOutcome: old.key.sharingId,
          oldConfig: old.key.config,
        }
  const ceremony = ceremonyId(spec)
  const parties = partiesOf(spec, old?.key)
  return {
    plan,
    spec,
    ceremony,
    key: bytesKey(ceremony),
    parties,
    everybody: everybody(parties),
    authorizations: new Map(),
  }
}

/** A sharing as a finished key generation leaves it: a certificate with the signatures of its whole committee, and every share. */
export function createOldSharing(kit: Kit, seed: number, plan: CommitteePlan): OldSharing {
  const config = configOf(kit, seed, plan)
  const spec = keygenSpec(seed, { attempt: 0, notAfter: 1_900_000_000 }, config)
  const polynomial = Array.from({ length: plan.t }, (_, k) => modOrder(bytesToNumberBE(bytesOf('old', seed, k))))
  const commitment = commit(kit.curve, polynomial)
  const [groupKey] = commitment
  if (groupKey === undefined) throw new RangeError('a polynomial has a constant term')
  const ceremony = ceremonyId(spec)
  const sid = bytesOf('old session', seed)
  const dealings = config.members.map(({ index }) => ({ dealer: index, dealHash: bytesOf('old deal', seed, index) }))
  const outcome = { ceremony, view: 0, sid, keyId: keygenKeyId(spec, groupKey, sid), t: plan.t, commitment, dealings }
  const hash = outcomeHash(encodeOutcome(outcome))
  const signed = (name: 'vote' | 'commit', payload: Uint8Array): MemberSignature[] =>
    config.members.map(({ index }) => {
      const { sign } = kit.identity(index)
      return { index, signature: signMessage(sign, { name, ceremony, view: 0, from: index }, payload).signature }
    })
  const certificate = encodeCertificate({
    spec,
    outcome,
    authorizations: [],
    votes: signed('vote', encodeVote({ outcomeHash: hash, holds: true })),
    view: 0,
    laterVotes: [],
    commits: signed('commit', hash),
  })
  const shares = config.members.map(
    ({ index }) => [index, encodeScalar(evaluatePolynomial(polynomial, index))] as const,
  )
  const key = verifyCertificate(kit.curve, kit.verify, certificate, { configHash: configHash(config) })
  return { key, shares: new Map(shares) }
}
