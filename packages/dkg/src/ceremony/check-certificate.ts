import { dkgError, KmsError } from '../errors.ts'
import { equalBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { VerifyMessage } from '../primitives/ed25519.ts'
import type { CeremonyId, KeyId, ParticipantIndex, PointBytes, SharingId } from '../primitives/types.ts'
import type { Commitment } from '../sharing/feldman.ts'
import { type AuthorizationStrength, authorizationStrength } from './authorization.ts'
import { type Certificate, decodeCertificate, type MemberSignature } from './certificate.ts'
import {
  type CeremonySpec,
  ceremonyId,
  type CommitteeConfig,
  configHash,
  dealerConfig,
  importKeyId,
  importOutcome,
  memberAt,
  type Purpose,
  quorum,
} from './config.ts'
import { encodeVote } from './messages.ts'
import { encodeOutcome, keygenKeyId, type Outcome, outcomeHash } from './outcome.ts'
import { type MessageName, rebuildBody, verifyBody } from './signed-message.ts'

/** A certificate that holds in itself, in the terms its users need. Whether its committee is the right one is another question. */
export interface CheckedKey {
  /** The canonical CERT. */
  readonly certificate: Uint8Array
  readonly kind: CeremonySpec['kind']
  readonly keyId: KeyId
  readonly sharingId: SharingId
  readonly ceremony: CeremonyId
  readonly suite: 1
  readonly purpose: Purpose
  readonly keyName: string
  readonly generation: number
  readonly epoch: number
  readonly attempt: number
  readonly t: number
  /** Y = A'[0]. */
  readonly groupKey: PointBytes
  /** A'. The share of node j verifies against `verificationShare(curve, commitment, j)`. */
  readonly commitment: Commitment
  readonly config: CommitteeConfig
  /** o of the epoch before; `importOutcome(Y)` in an IMPORT, absent in a KEYGEN. */
  readonly prevOutcome?: SharingId
  /** Hash of the committee that dealt; absent in a KEYGEN. 32 bytes. */
  readonly oldConfigHash?: Uint8Array
  /** How much of the old committee authorised it; 'none' in a KEYGEN, which has no old committee. */
  readonly authorization: AuthorizationStrength
  /** QUAL, ascending: whose dealings the key is made of. */
  readonly dealers: readonly ParticipantIndex[]
}

export const refuseCertificate = (problem: string): never => {
  throw dkgError('bad-certificate', problem)
}

/** A certificate that is whole but for its signatures, which are what costs time. */
export interface UnsignedFacts {
  readonly certificate: Certificate
  readonly key: Omit<CheckedKey, 'authorization'>
}

/**
 * All that follows from a certificate alone (protocol 6, steps 1, 3 and 4): decoding, names, key id, QUAL, AUTH, votes, commits.
 * Says nothing about whether the committee is one to trust: `verifyCertificate`, `verifySuccessor`.
 * Verification shares are never taken from a node: compute them from `commitment`.
 * @throws KmsError `bad-certificate` with the reason
 */
export const checkCertificate = (curve: Curve, verify: VerifyMessage, bytes: Uint8Array): CheckedKey =>
  checkSignatures(verify, readFacts(curve, bytes))

/**
 * The part of the check that needs no signature.
 * @throws KmsError `bad-certificate` with the reason
 */
export function readFacts(curve: Curve, bytes: Uint8Array): UnsignedFacts {
  const certificate = decodeOrRefuse(curve, bytes)
  const { spec, outcome } = certificate
  const ceremony = ceremonyId(spec)
  if (!equalBytes(outcome.ceremony, ceremony)) refuseCertificate('OUT belongs to another ceremony than X')
  const [groupKey] = outcome.commitment
  if (groupKey === undefined) return refuseCertificate('OUT has no group public key')
  requireKeyId(spec, outcome, groupKey)
  requireDealers(spec, outcome)
  const key = {
    certificate: bytes,
    kind: spec.kind,
    keyId: outcome.keyId,
    sharingId: outcomeHash(encodeOutcome(outcome)),
    ceremony,
    suite: spec.suite,
    purpose: spec.purpose,
    keyName: spec.keyName,
    generation: spec.generation,
    epoch: spec.epoch,
    attempt: spec.attempt,
    t: spec.newConfig.t,
    groupKey,
    commitment: outcome.commitment,
    config: spec.newConfig,
    ...(spec.kind !== 'keygen' && { prevOutcome: spec.prevOutcome, oldConfigHash: configHash(spec.oldConfig) }),
    dealers: outcome.dealings.map(({ dealer }) => dealer),
  }
  return { certificate, key }
}

/** The part of the check that is signatures. @throws KmsError `bad-certificate` with the reason */
export function checkSignatures(verify: VerifyMessage, { certificate, key }: UnsignedFacts): CheckedKey {
  const authorization = key.kind === 'keygen' ? 'none' : strengthOf(verify, certificate)
  requireVotes(verify, certificate)
  return { ...key, authorization }
}

function decodeOrRefuse(curve: Curve, bytes: Uint8Array): Certificate {
  try {
    return decodeCertificate(curve, bytes)
  } catch (error) {
    if (!(error instanceof KmsError)) throw error
    throw dkgError('bad-certificate', `not a certificate: ${error.message}`, { cause: error })
  }
}

/** KEYGEN and IMPORT: the key id recomputes from Y. RESHARE: it is the one of X. */
function requireKeyId(spec: CeremonySpec, outcome: Outcome, groupKey: PointBytes): void {
  const expected = spec.kind === 'keygen' ? keygenKeyId(spec, groupKey, outcome.sid) : spec.keyId
  if (!equalBytes(outcome.keyId, expected)) refuseCertificate('the key id does not recompute')
  if (spec.kind !== 'import') return
  if (!equalBytes(spec.keyId, importKeyId(spec, groupKey))) refuseCertificate('the imported key id does not recompute')
  if (!equalBytes(spec.prevOutcome, importOutcome(groupKey))) refuseCertificate('X imports another public key')
}

/** QUAL: dealers of X, at least Q in a KEYGEN, at least t_old otherwise (protocol R4). */
function requireDealers(spec: CeremonySpec, outcome: Outcome): void {
  const dealers = dealerConfig(spec)
  const least = spec.kind === 'keygen' ? quorum(dealers) : dealers.t
  if (outcome.dealings.length < least) refuseCertificate('QUAL is smaller than the protocol asks')
  if (outcome.dealings.some(({ dealer }) => memberAt(dealers, dealer) === undefined))
    refuseCertificate('QUAL names a stranger')
}

function strengthOf(verify: VerifyMessage, { spec, authorizations }: Certificate): AuthorizationStrength {
  return (
    authorizationStrength(verify, spec, authorizations) ??
    refuseCertificate('the old committee did not authorise it: too few signatures, or a bad one among them')
  )
}

/** Votes that hold at v0, votes of any kind at v, commits at v (protocol 6, step 4). */
function requireVotes(verify: VerifyMessage, certificate: Certificate): void {
  const { spec, outcome, votes, view, laterVotes, commits } = certificate
  const config = spec.newConfig
  const { ceremony } = outcome
  const o = outcomeHash(encodeOutcome(outcome))
  const holding = encodeVote({ outcomeHash: o, holds: true })
  requireQuorum(verify, config, { name: 'vote', ceremony, view: outcome.view }, votes, () => holding)
  if (view !== outcome.view) {
    const flags = new Map(laterVotes.map((entry) => [entry.index, entry.holds]))
    requireQuorum(verify, config, { name: 'vote', ceremony, view }, laterVotes, ({ index }) =>
      encodeVote({ outcomeHash: o, holds: flags.get(index) === true }),
    )
  }
  requireQuorum(verify, config, { name: 'commit', ceremony, view }, commits, () => o)
}

/** At least Q valid signatures over the rebuilt bodies, distinct members, and not one bad among them (protocol R5). */
function requireQuorum(
  verify: VerifyMessage,
  config: CommitteeConfig,
  what: { readonly name: MessageName; readonly ceremony: CeremonyId; readonly view: number },
  entries: readonly MemberSignature[],
  payloadOf: (entry: MemberSignature) => Uint8Array,
): void {
  if (entries.length < quorum(config)) refuseCertificate(`fewer ${what.name} signatures than a quorum`)
  for (const entry of entries) {
    const member = memberAt(config, entry.index)
    if (member === undefined) return refuseCertificate(`a ${what.name} signature of nobody in the roster`)
    const body = rebuildBody({ ...what, from: entry.index }, payloadOf(entry))
    if (!verifyBody(verify, member.publicKey, what.name, body, entry.signature))
      refuseCertificate(`the ${what.name} signature of node ${entry.index} does not verify`)
  }
}
