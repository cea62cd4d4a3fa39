import { encodeCertificate } from '../../packages/dkg/src/ceremony/certificate.ts'
import { type CeremonySpec, ceremonyId, createConfig, type Member } from '../../packages/dkg/src/ceremony/config.ts'
import { encodeOutcome, keygenKeyId, outcomeHash } from '../../packages/dkg/src/ceremony/outcome.ts'
import { bytesKey } from '../../packages/dkg/src/primitives/codec.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import { encodeScalar, modOrder } from '../../packages/dkg/src/primitives/scalar.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { ClusterId, ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'
import {
  CONTRIBUTION_TAG,
  decodeContribution,
  encodeContribution,
  encodeSignedRepair,
  type RepairSharing,
} from '../../packages/dkg/src/repair/messages.ts'
import { signBody } from '../../packages/dkg/src/repair/signed-body.ts'
import { type Commitment, commit, verifyShare } from '../../packages/dkg/src/sharing/feldman.ts'
import { evaluatePolynomial } from '../../packages/dkg/src/sharing/polynomial.ts'
import type { Sent } from './repair-record.ts'
import { bytesOf, type Committee, type Identity, seededRandom, simulatedCommittee } from './simulated-committee.ts'

/** A sharing whose every share the test knows. */
export interface RepairCase {
  readonly committee: Committee
  readonly sharing: RepairSharing
  /** Ascending by index. */
  readonly identities: readonly Identity[]
  readonly shareOf: (index: number) => Uint8Array
}

/** A sharing with distinct random indices. */
export function repairCase(n: number, t: number, seed: number, signatures: 'cheap' | 'ed25519' = 'cheap'): RepairCase {
  const committee = simulatedCommittee({ n, t, seed, signatures })
  const random = seededRandom(seed)
  const indices = new Set<number>()
  while (indices.size < n) indices.add(1 + Math.floor(random() * 65_535))
  const sorted = [...indices].toSorted((left, right) => left - right)
  const identities = committee.identities.map((identity, at) => ({
    ...identity,
    index: participantIndex(sorted[at] ?? 0),
  }))
  const members: readonly Member[] = identities
  const config = createConfig({ clusterId: bytesOf('cluster', seed) as ClusterId, t, members })
  const polynomial = Array.from({ length: t }, (_, k) =>
    modOrder(BigInt(`0x${bytesKey(bytesOf('coefficient', seed, k))}`)),
  )
  const sharing = sharingOf(
    { ...committee.spec, clusterId: config.clusterId, newConfig: config },
    commit(committee.curve, polynomial),
  )
  const shareOf = (index: number): Uint8Array => encodeScalar(evaluatePolynomial(polynomial, participantIndex(index)))
  return { committee, sharing, identities, shareOf }
}

/** What a helper sends whose M1 commits to another part than it should: the first D_ik is G. */
export const spoilContribution =
  (repair: RepairCase, helper: number): ((sent: Sent) => readonly Uint8Array[]) =>
  ({ from, bytes, message }) => {
    const { curve } = repair.committee
    const sign = repair.identities.find(({ index }) => index === helper)?.sign
    if (from !== helper || message.kind !== 'contribution' || sign === undefined) return [bytes]
    const contribution = decodeContribution(curve, message.signed.body)
    if (contribution.from !== helper) return [bytes]
    const parts = contribution.parts.map((part, at) => (at === 0 ? { ...part, point: curve.generator } : part))
    const lie = signBody(sign, CONTRIBUTION_TAG, encodeContribution({ ...contribution, parts }))
    return [encodeSignedRepair('contribution', lie)]
  }

/** The sharing of this commitment under a certificate that nobody signed: what evidence needs of it is what its hash covers. */
function sharingOf(spec: CeremonySpec, commitment: Commitment): RepairSharing {
  const [groupKey] = commitment
  if (groupKey === undefined) throw new Error('a sharing has a key')
  const sid = bytesOf('sid')
  const outcome = {
    ceremony: ceremonyId(spec),
    view: 0,
    sid,
    keyId: keygenKeyId(spec, groupKey, sid),
    t: spec.newConfig.t,
    commitment,
    dealings: spec.newConfig.members.map(({ index }) => ({ dealer: index, dealHash: bytesOf('deal', index) })),
  }
  const unsigned = { spec, outcome, authorizations: [], votes: [], view: 0, laterVotes: [], commits: [] }
  const sharingId = outcomeHash(encodeOutcome(outcome))
  const certificate = encodeCertificate(unsigned)
  return { certificate, keyId: outcome.keyId, sharingId, commitment, config: spec.newConfig }
}

/** Whether the bytes hold this secret somewhere. */
export const holds = (bytes: Uint8Array, secret: Uint8Array): boolean =>
  Buffer.from(bytes).includes(Buffer.from(secret))

/** Whether the recovered share is the lost one. */
export function isShareOf(repair: RepairCase, index: ParticipantIndex, share: Uint8Array | undefined): boolean {
  if (share === undefined) return false
  const secret = Secret.copyOf(share)
  return verifyShare(repair.committee.curve, repair.sharing.commitment, index, secret)
}
