import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, list, Reader, u16, u32, u8, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { SIGNATURE_BYTES } from '../primitives/ed25519.ts'
import { id32 } from '../primitives/point.ts'
import type { KeyId, ParticipantIndex } from '../primitives/types.ts'
import { type CeremonySpec, decodeSpec, encodeSpec, MAX_MEMBERS, MAX_SPEC_BYTES } from './config.ts'
import { readAscending, readFlag, readIndex } from './messages.ts'
import { decodeOutcome, encodeOutcome, type Outcome } from './outcome.ts'

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
  /** AUTH of the old committee; empty in a KEYGEN. */
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
    spec.kind === 'keygen' ? nothing : list(authorizations, encodeSignature),
    u32(outcome.view),
    list(votes, encodeSignature),
    u32(view),
    view === outcome.view ? nothing : list(laterVotes, encodeFlagged),
    list(commits, encodeSignature),
  )
}

/**
 * The key that a CERT is of, without decoding the rest: to sort certificates before anything expensive is done with them.
 * @throws KmsError `bad-encoding`
 */
export function certificateKeyId(bytes: Uint8Array): KeyId {
  const certificate = new Reader(bytes)
  certificate.var(MAX_SPEC_BYTES, 'CERT.X')
  const outcome = new Reader(certificate.var(MAX_OUTCOME_BYTES, 'CERT.OUT'))
  outcome.u8('OUT.version')
  outcome.take(32, 'OUT.ceremony')
  outcome.u32('OUT.view')
  outcome.take(32, 'OUT.sid')
  return id32<KeyId>(outcome.take(32, 'OUT.keyId'), 'OUT.keyId')
}

/** Strict decoding, no signature checked. @throws KmsError `bad-encoding`, `bad-point`, `bad-config`, `too-large`, `unsupported` */
export function decodeCertificate(curve: Curve, bytes: Uint8Array): Certificate {
  if (bytes.length > MAX_CERTIFICATE_BYTES)
    throw dkgError('too-large', 'a certificate is longer than any committee allows')
  return decodeAll(bytes, 'CERT', (reader) => {
    const spec = decodeSpec(reader.var(MAX_SPEC_BYTES, 'CERT.X'))
    const outcome = decodeOutcome(curve, spec.newConfig, reader.var(MAX_OUTCOME_BYTES, 'CERT.OUT'))
    const authorizations = spec.kind === 'keygen' ? [] : readSignatures(reader, 'CERT.AUTH')
    if (reader.u32('CERT.v0') !== outcome.view) throw dkgError('bad-encoding', 'CERT.v0 is not OUT.v0')
    const votes = readSignatures(reader, 'CERT.votes')
    const view = reader.u32('CERT.v')
    if (view < outcome.view) throw dkgError('bad-encoding', 'CERT.v is below v0')
    const laterVotes = view === outcome.view ? [] : readFlagged(reader, 'CERT.laterVotes')
    return { spec, outcome, authorizations, votes, view, laterVotes, commits: readSignatures(reader, 'CERT.commits') }
  })
}
