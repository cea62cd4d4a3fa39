import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError, KmsError } from '../errors.ts'
import { decodeAll, equalBytes, list, type Reader, u16, u32, u8, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { SIGNATURE_BYTES, type VerifyMessage } from '../primitives/ed25519.ts'
import type { CeremonyId, KeyId, ParticipantIndex, PointBytes, SharingId } from '../primitives/types.ts'
import type { Commitment } from '../sharing/feldman.ts'
import {
  type CeremonySpec,
  ceremonyId,
  type CommitteeConfig,
  configHash,
  decodeSpec,
  encodeSpec,
  MAX_MEMBERS,
  MAX_SPEC_BYTES,
  memberAt,
  type Purpose,
  quorum,
} from './config.ts'
import { encodeVote, readAscending, readFlag, readIndex } from './messages.ts'
import { decodeOutcome, encodeOutcome, keygenKeyId, type Outcome, outcomeHash } from './outcome.ts'
import { type MessageName, rebuildBody, verifyBody } from './signed-message.ts'

/** One member's signature in a list. 66 bytes encoded. */
export interface MemberSignature {
  readonly index: ParticipantIndex
  readonly signature: Uint8Array
}

/** A vote of a re-propose view. 67 bytes encoded. */
export interface FlaggedSignature extends MemberSignature {
  readonly holds: boolean
}

/** CERT (protocol 6). The certificate is named by o, not by who of the quorum signed. */
export interface Certificate {
  readonly spec: CeremonySpec
  readonly outcome: Outcome
  /** AUTH, RESHARE only. */
  readonly authorizations: readonly MemberSignature[]
  /** VOTEs of view v0 = OUT.v0 with holds = 1. */
  readonly votes: readonly MemberSignature[]
  /** v, the view of the COMMITs. */
  readonly view: number
  /** VOTEs of view v, only when v != v0. */
  readonly laterVotes: readonly FlaggedSignature[]
  readonly commits: readonly MemberSignature[]
}

const encodeSignature = (entry: MemberSignature): Uint8Array => concatBytes(u16(entry.index), entry.signature)
const encodeFlagged = (entry: FlaggedSignature): Uint8Array =>
  concatBytes(u16(entry.index), u8(entry.holds ? 1 : 0), entry.signature)

const readSignatures = (reader: Reader, field: string): MemberSignature[] =>
  readAscending(
    reader,
    MAX_MEMBERS,
    field,
    (item) => ({ index: readIndex(item, field), signature: item.take(SIGNATURE_BYTES, field) }),
    (entry) => entry.index,
  )

const readFlagged = (reader: Reader, field: string): FlaggedSignature[] =>
  readAscending(
    reader,
    MAX_MEMBERS,
    field,
    (item) => ({
      index: readIndex(item, field),
      holds: readFlag(item, field),
      signature: item.take(SIGNATURE_BYTES, field),
    }),
    (entry) => entry.index,
  )

const MAX_OUTCOME_BYTES = 107 + 33 * MAX_MEMBERS + 34 * MAX_MEMBERS
/** The longest CERT: two full committees, 64 signatures in each of four lists. */
export const MAX_CERTIFICATE_BYTES: number = 4 + MAX_SPEC_BYTES + 4 + MAX_OUTCOME_BYTES + 8 + 4 * (2 + 67 * MAX_MEMBERS)

export function encodeCertificate(certificate: Certificate): Uint8Array {
  const { spec, outcome, authorizations, votes, view, laterVotes, commits } = certificate
  const nothing = new Uint8Array(0)
  return concatBytes(
    varBytes(encodeSpec(spec)),
    varBytes(encodeOutcome(outcome)),
    spec.kind === 'reshare' ? list(authorizations, encodeSignature) : nothing,
    u32(outcome.view),
    list(votes, encodeSignature),
    u32(view),
    view === outcome.view ? nothing : list(laterVotes, encodeFlagged),
    list(commits, encodeSignature),
  )
}

/** Strict decoding, no signature checked. @throws KmsError `bad-encoding`, `bad-point`, `bad-config`, `too-large`, `unsupported` */
export function decodeCertificate(curve: Curve, bytes: Uint8Array): Certificate {
  if (bytes.length > MAX_CERTIFICATE_BYTES)
    throw dkgError('too-large', 'a certificate is longer than any committee allows')
  return decodeAll(bytes, 'CERT', (reader) => {
    const spec = decodeSpec(reader.var(MAX_SPEC_BYTES, 'CERT.X'))
    const outcome = decodeOutcome(curve, spec.newConfig, reader.var(MAX_OUTCOME_BYTES, 'CERT.OUT'))
    const authorizations = spec.kind === 'reshare' ? readSignatures(reader, 'CERT.AUTH') : []
    if (reader.u32('CERT.v0') !== outcome.view) throw dkgError('bad-encoding', 'CERT.v0 is not OUT.v0')
    const votes = readSignatures(reader, 'CERT.votes')
    const view = reader.u32('CERT.v')
    if (view < outcome.view) throw dkgError('bad-encoding', 'CERT.v is below v0')
    const laterVotes = view === outcome.view ? [] : readFlagged(reader, 'CERT.laterVotes')
    return { spec, outcome, authorizations, votes, view, laterVotes, commits: readSignatures(reader, 'CERT.commits') }
  })
}

/** A certificate that holds, in the terms its users need. */
export interface VerifiedKey {
  /** The canonical CERT. */
  readonly certificate: Uint8Array
  readonly keyId: KeyId
  readonly sharingId: SharingId
  readonly ceremony: CeremonyId
  readonly suite: 1
  readonly purpose: Purpose
  readonly keyName: string
  readonly generation: number
  readonly epoch: number
  readonly t: number
  /** Y = A'[0]. */
  readonly groupKey: PointBytes
  /** A'. The share of node j verifies against `verificationShare(curve, commitment, j)`. */
  readonly commitment: Commitment
  readonly config: CommitteeConfig
}

const refuse = (problem: string): never => {
  throw dkgError('bad-certificate', problem)
}

/** At least Q valid signatures over the rebuilt bodies, distinct members, and not one bad among them (protocol R5). */
function requireQuorum(
  verify: VerifyMessage,
  config: CommitteeConfig,
  what: { readonly name: MessageName; readonly ceremony: CeremonyId; readonly view: number },
  entries: readonly MemberSignature[],
  payloadOf: (entry: MemberSignature) => Uint8Array,
): void {
  if (entries.length < quorum(config)) refuse(`fewer ${what.name} signatures than a quorum`)
  for (const entry of entries) {
    const member = memberAt(config, entry.index)
    if (member === undefined) return refuse(`a ${what.name} signature of nobody in the roster`)
    const body = rebuildBody({ ...what, from: entry.index }, payloadOf(entry))
    if (!verifyBody(verify, member.publicKey, what.name, body, entry.signature))
      refuse(`the ${what.name} signature of node ${entry.index} does not verify`)
  }
}

/**
 * The client's check of a genesis certificate (protocol 6, steps 1 to 5): everything follows from the pinned config hash.
 * Verification shares are never taken from a node: compute them from `commitment`.
 * @param pin.configHash 32 bytes, the hash of the committee that the caller trusts
 * @throws KmsError `bad-certificate` with the reason, `unsupported` for a resharing
 */
export function verifyCertificate(
  curve: Curve,
  verify: VerifyMessage,
  bytes: Uint8Array,
  pin: { readonly configHash: Uint8Array },
): VerifiedKey {
  const certificate = decodeOrRefuse(curve, bytes)
  const { spec, outcome, votes, view, laterVotes, commits } = certificate
  const config = spec.newConfig
  if (spec.kind !== 'keygen')
    throw dkgError('unsupported', 'a resharing is verified through the chain that leads to it')
  if (!equalBytes(configHash(config), pin.configHash)) refuse('made by another committee than the pinned one')
  const ceremony = ceremonyId(spec)
  if (!equalBytes(outcome.ceremony, ceremony)) refuse('OUT belongs to another ceremony than X')
  const [groupKey] = outcome.commitment
  if (groupKey === undefined) return refuse('OUT has no group public key')
  if (!equalBytes(outcome.keyId, keygenKeyId(spec, groupKey, outcome.sid))) refuse('the key id does not recompute')
  if (outcome.dealings.length < quorum(config)) refuse('QUAL is smaller than a quorum')
  if (outcome.dealings.some(({ dealer }) => memberAt(config, dealer) === undefined)) refuse('QUAL names a stranger')
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
  return {
    certificate: bytes,
    keyId: outcome.keyId,
    sharingId: o,
    ceremony,
    suite: spec.suite,
    purpose: spec.purpose,
    keyName: spec.keyName,
    generation: spec.generation,
    epoch: spec.epoch,
    t: config.t,
    groupKey,
    commitment: outcome.commitment,
    config,
  }
}

function decodeOrRefuse(curve: Curve, bytes: Uint8Array): Certificate {
  try {
    return decodeCertificate(curve, bytes)
  } catch (error) {
    if (!(error instanceof KmsError)) throw error
    throw dkgError('bad-certificate', `not a certificate: ${error.message}`, { cause: error })
  }
}
