import {
  type Certificate,
  encodeCertificate,
  type FlaggedSignature,
  type MemberSignature,
} from '../../packages/dkg/src/ceremony/certificate.ts'
import { signAuthorization } from '../../packages/dkg/src/ceremony/authorization.ts'
import { type CeremonySpec, ceremonyId, createConfig, importSpec } from '../../packages/dkg/src/ceremony/config.ts'
import { encodeVote } from '../../packages/dkg/src/ceremony/messages.ts'
import { encodeOutcome, keygenKeyId, type Outcome, outcomeHash } from '../../packages/dkg/src/ceremony/outcome.ts'
import { type MessageName, signMessage } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { modOrder, ORDER } from '../../packages/dkg/src/primitives/scalar.ts'
import type { KeyId, ParticipantIndex, PointBytes, SharingId } from '../../packages/dkg/src/primitives/types.ts'
import { commit } from '../../packages/dkg/src/sharing/feldman.ts'
import { lagrangeCoefficients } from '../../packages/dkg/src/sharing/lagrange.ts'
import { evaluatePolynomial } from '../../packages/dkg/src/sharing/polynomial.ts'
import { bytesOf, fastCurve, type Identity } from './simulated-committee.ts'

/** A sharing and the certificate of it, made by the algebra of protocol R4 and test keys, without any engine. */
export interface HandMade {
  readonly spec: CeremonySpec
  readonly certificate: Certificate
  readonly bytes: Uint8Array
  readonly keyId: KeyId
  readonly sharingId: SharingId
  readonly groupKey: PointBytes
  readonly shares: ReadonlyMap<ParticipantIndex, bigint>
  readonly members: readonly Identity[]
}

export interface Signers {
  /** Who deals; default everybody who may. */
  readonly dealers?: readonly Identity[]
  /** Who signs AUTH; default the whole old committee. */
  readonly authorizers?: readonly Identity[]
  /** Who votes and commits; default all members. */
  readonly voters?: readonly Identity[]
  /** v of the commits, with a second list of votes when it is above 0. Default 0. */
  readonly view?: number
}

const scalar = (...parts: readonly (string | number)[]): bigint =>
  modOrder(BigInt(`0x${Buffer.from(bytesOf(...parts)).toString('hex')}`))

const seedOf = (spec: CeremonySpec): string => Buffer.from(ceremonyId(spec)).toString('hex')

interface Dealing {
  readonly dealer: Identity
  readonly weight: bigint
  readonly polynomial: readonly bigint[]
}

/** Fresh coefficients above `constant`. */
const polynomialOf = (spec: CeremonySpec, dealer: Identity, constant: bigint): bigint[] =>
  Array.from({ length: spec.newConfig.t }, (_, k) =>
    k === 0 ? constant : scalar('coefficient', seedOf(spec), dealer.index, k),
  )

/** A key of these members: every member's own dealing, all weights 1. */
export function keygenByHand(spec: CeremonySpec, members: readonly Identity[], signers: Signers = {}): HandMade {
  const dealings = (signers.dealers ?? members).map((dealer) => ({
    dealer,
    weight: 1n,
    polynomial: polynomialOf(spec, dealer, scalar('secret', seedOf(spec), dealer.index)),
  }))
  return finish(spec, members, dealings, signers)
}

/** The next epoch of `previous` at `members`; `change` bends X before anybody signs it. */
export function reshareByHand(
  previous: HandMade,
  members: readonly Identity[],
  t: number,
  signers: Signers = {},
  change: Partial<Omit<Extract<CeremonySpec, { kind: 'reshare' }>, 'kind'>> = {},
): HandMade {
  const { spec } = previous
  const next: CeremonySpec = {
    suite: spec.suite,
    clusterId: spec.clusterId,
    purpose: spec.purpose,
    keyName: spec.keyName,
    generation: spec.generation,
    attempt: 0,
    notAfter: spec.notAfter,
    kind: 'reshare',
    epoch: spec.epoch + 1,
    keyId: previous.keyId,
    prevOutcome: previous.sharingId,
    oldConfig: spec.newConfig,
    newConfig: createConfig({ clusterId: spec.clusterId, t, members }),
    ...change,
  }
  const dealers = signers.dealers ?? previous.members
  const weights = lagrangeCoefficients(dealers.map(({ index }) => index))
  const dealings = dealers.map((dealer, at) => ({
    dealer,
    weight: weights[at] ?? 0n,
    polynomial: polynomialOf(next, dealer, previous.shares.get(dealer.index) ?? 1n),
  }))
  return finish(next, members, dealings, { authorizers: previous.members, ...signers })
}

/** The key `secret` of one importer at a committee. */
export function importByHand(
  genesis: CeremonySpec,
  importer: Identity,
  secret: bigint,
  members: readonly Identity[],
  signers: Signers = {},
): HandMade {
  const [groupKey] = commit(fastCurve, [secret])
  if (groupKey === undefined) throw new Error('no key')
  const spec = importSpec(genesis, importer, groupKey)
  const dealings = [{ dealer: importer, weight: 1n, polynomial: polynomialOf(spec, importer, secret) }]
  return finish(spec, members, dealings, { authorizers: [importer], ...signers })
}

function finish(
  spec: CeremonySpec,
  members: readonly Identity[],
  dealings: readonly Dealing[],
  signers: Signers,
): HandMade {
  const sum = Array.from({ length: spec.newConfig.t }, (_, k) =>
    modOrder(dealings.reduce((total, { weight, polynomial }) => total + weight * (polynomial[k] ?? 0n), 0n)),
  )
  const commitment = commit(fastCurve, sum)
  const [groupKey] = commitment
  if (groupKey === undefined) throw new Error('no commitment')
  const sid = bytesOf('sid', seedOf(spec))
  const outcome: Outcome = {
    ceremony: ceremonyId(spec),
    view: 0,
    sid,
    keyId: spec.kind === 'keygen' ? keygenKeyId(spec, groupKey, sid) : spec.keyId,
    t: spec.newConfig.t,
    commitment,
    dealings: dealings.map(({ dealer }) => ({ dealer: dealer.index, dealHash: bytesOf('deal', dealer.index) })),
  }
  const authorizations = (signers.authorizers ?? []).map(({ sign, index }) => signAuthorization(sign, spec, index))
  const certificate = signedByHand({ spec, outcome, authorizations }, signers.voters ?? members, signers.view)
  return {
    spec,
    certificate,
    bytes: encodeCertificate(certificate),
    keyId: outcome.keyId,
    sharingId: outcomeHash(encodeOutcome(outcome)),
    groupKey,
    shares: new Map(members.map(({ index }) => [index, evaluatePolynomial(sum, index)])),
    members,
  }
}

/** The votes and commits of these members for whatever the outcome says. */
export function signedByHand(
  what: Pick<Certificate, 'spec' | 'outcome' | 'authorizations'>,
  voters: readonly Identity[],
  view = 0,
): Certificate {
  const { outcome } = what
  const { ceremony } = outcome
  const o = outcomeHash(encodeOutcome(outcome))
  const by = (name: MessageName, at: number, payload: Uint8Array): MemberSignature[] =>
    voters.map(({ index, sign }) => ({
      index,
      signature: signMessage(sign, { name, ceremony, view: at, from: index }, payload).signature,
    }))
  const holding = encodeVote({ outcomeHash: o, holds: true })
  const laterVotes: FlaggedSignature[] =
    view === outcome.view ? [] : by('vote', view, holding).map((entry) => ({ ...entry, holds: true }))
  return { ...what, votes: by('vote', outcome.view, holding), view, laterVotes, commits: by('commit', view, o) }
}

/** The secret behind these shares. */
export function recombine(shares: ReadonlyMap<ParticipantIndex, bigint>, indices: readonly ParticipantIndex[]): bigint {
  const weights = lagrangeCoefficients(indices)
  return indices.reduce((sum, index, at) => (sum + (weights[at] ?? 0n) * (shares.get(index) ?? 0n)) % ORDER, 0n)
}
