import { concatBytes } from '@noble/hashes/utils.js'
import { type CommitteeConfig, MAX_MEMBERS } from '../ceremony/config.ts'
import { readAscending, readIndex, readPoint } from '../ceremony/messages.ts'
import { dkgError } from '../errors.ts'
import { attempt, decodeAll, list, type Reader, u16, u8, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { SIGNATURE_BYTES } from '../primitives/ed25519.ts'
import { taggedHash } from '../primitives/hash.ts'
import { POINT_BYTES } from '../primitives/point.ts'
import { Secret } from '../primitives/secret.ts'
import type { KeyId, ParticipantIndex, PointBytes, SharingId } from '../primitives/types.ts'
import type { Commitment } from '../sharing/feldman.ts'
import { decodeSignedBody, type SignedBody } from './signed-body.ts'

/** What travels in a `repair` frame (protocol 9): `u8 1 || u8 kind || rest`. Signed parts may be relayed, the others count from their Noise peer only. */

/** The sharing under repair, as its verified certificate says. */
export interface RepairSharing {
  /** Its canonical CERT: part of evidence. */
  readonly certificate: Uint8Array
  readonly keyId: KeyId
  readonly sharingId: SharingId
  /** A', t points. */
  readonly commitment: Commitment
  readonly config: CommitteeConfig
}

/** 32 bytes, rid = TH("repair", REQ): names one try with one set of helpers. */
export type RepairId = Uint8Array

/** REQ = keyId || sharingId || u16 r || list(u16) H || nonce(32), signed by r under "repair-req". */
export interface RepairRequest {
  readonly keyId: KeyId
  readonly sharingId: SharingId
  /** r, whose share is lost. */
  readonly recoverer: ParticipantIndex
  /** H, ascending, t members without r. */
  readonly helpers: readonly ParticipantIndex[]
  readonly nonce: Uint8Array
}

/** D_ik = d_ik*G for one helper k. */
export interface CommittedPart {
  readonly helper: ParticipantIndex
  readonly point: PointBytes
}

/** M1 = rid || u16 i || list(u16 k || P D_ik), signed by i under "repair-m1"; one per (rid, i). */
export interface Contribution {
  readonly rid: RepairId
  readonly from: ParticipantIndex
  readonly parts: readonly CommittedPart[]
}

/** An M1 by name: u16 i || TH("repair-m1", M1_i). */
export interface ContributionRef {
  readonly from: ParticipantIndex
  readonly hash: Uint8Array
}

export const REQUEST_TAG = 'repair-req'
export const CONTRIBUTION_TAG = 'repair-m1'

/** Why a helper does not contribute. `waiting`: its operator has not approved yet. */
export const REPAIR_REFUSALS = [
  'waiting',
  'denied',
  'rate-limited',
  'not-holding',
  'bad-request',
  'spent',
  'failed',
] as const
export type RepairRefusal = (typeof REPAIR_REFUSALS)[number]

export type RepairMessage =
  | { readonly kind: 'request'; readonly signed: SignedBody }
  | { readonly kind: 'contribution'; readonly rid: RepairId; readonly signed: SignedBody }
  /** d_ik, from helper i to helper k. 32 bytes in 1..N-1 where i is honest. */
  | { readonly kind: 'part'; readonly rid: RepairId; readonly part: Secret }
  /** sigma_k = sum_i d_ik and the M1s it stands on, from helper k to r. */
  | { readonly kind: 'sum'; readonly rid: RepairId; readonly sum: Secret; readonly refs: readonly ContributionRef[] }
  /** From r: it needs nothing more of this rid. The helpers erase their parts. */
  | { readonly kind: 'over'; readonly rid: RepairId }
  /** From helper k to r: the d_ik of i does not open D_ik. One word against another. */
  | { readonly kind: 'dispute'; readonly rid: RepairId; readonly against: ParticipantIndex }
  | { readonly kind: 'refusal'; readonly rid: RepairId; readonly reason: RepairRefusal }

const KINDS: readonly RepairMessage['kind'][] = ['request', 'contribution', 'part', 'sum', 'over', 'dispute', 'refusal']
const VERSION = 1
const REQUEST_BYTES = 32 + 32 + 2 + 2 + 2 * MAX_MEMBERS + 32
const CONTRIBUTION_BYTES = 32 + 2 + 2 + (2 + POINT_BYTES) * MAX_MEMBERS
/** The longest message of a repair: an M1 for 64 helpers. */
export const MAX_REPAIR_MESSAGE_BYTES: number = 2 + 4 + CONTRIBUTION_BYTES + SIGNATURE_BYTES

export const encodeRequest = (request: RepairRequest): Uint8Array =>
  concatBytes(
    request.keyId,
    request.sharingId,
    u16(request.recoverer),
    list(request.helpers, (helper) => u16(helper)),
    request.nonce,
  )

/** Strict REQ. @throws KmsError `bad-encoding`, `bad-index` */
export const decodeRequest = (body: Uint8Array): RepairRequest =>
  decodeAll(body, 'REQ', (reader) => ({
    keyId: reader.take(32, 'REQ.keyId') as KeyId,
    sharingId: reader.take(32, 'REQ.sharingId') as SharingId,
    recoverer: readIndex(reader, 'REQ.recoverer'),
    helpers: readAscending(
      reader,
      MAX_MEMBERS,
      'REQ.helpers',
      (item) => readIndex(item, 'REQ.helpers'),
      (index) => index,
    ),
    nonce: reader.take(32, 'REQ.nonce'),
  }))

/** rid of a REQ body. 32 bytes. */
export const repairId = (body: Uint8Array): RepairId => taggedHash('repair', body)

export const encodeContribution = ({ rid, from, parts }: Contribution): Uint8Array =>
  concatBytes(
    rid,
    u16(from),
    list(parts, ({ helper, point }) => concatBytes(u16(helper), point)),
  )

/** Strict M1. @throws KmsError `bad-encoding`, `bad-index`, `bad-point` */
export const decodeContribution = (curve: Curve, body: Uint8Array): Contribution =>
  decodeAll(body, 'M1', (reader) => ({
    rid: reader.take(32, 'M1.rid'),
    from: readIndex(reader, 'M1.from'),
    parts: readAscending(
      reader,
      MAX_MEMBERS,
      'M1.parts',
      (item) => ({ helper: readIndex(item, 'M1.parts.helper'), point: readPoint(curve, item, 'M1.parts.point') }),
      ({ helper }) => helper,
    ),
  }))

/** The first fields of an M1, even of one that does not decode: it may be evidence. undefined when it ends inside them. */
export const contributionHead = (body: Uint8Array): { readonly rid: RepairId; readonly from: number } | undefined =>
  body.length < 34 ? undefined : { rid: body.slice(0, 32), from: (body[32] ?? 0) * 256 + (body[33] ?? 0) }

/** TH("repair-m1", M1). 32 bytes. */
export const contributionHash = (signed: SignedBody): Uint8Array => taggedHash(CONTRIBUTION_TAG, signed.body)

const head = (kind: RepairMessage['kind']): Uint8Array => concatBytes(u8(VERSION), u8(KINDS.indexOf(kind) + 1))

/** REQ or M1 for the wire: `var body || signature` behind the kind. */
export const encodeSignedRepair = (kind: 'request' | 'contribution', signed: SignedBody): Uint8Array =>
  concatBytes(head(kind), varBytes(signed.body), signed.signature)

export const encodePart = (rid: RepairId, part: Secret): Secret =>
  new Secret(part.use((bytes) => concatBytes(head('part'), rid, bytes)))

export const encodeSum = (rid: RepairId, sum: Secret, refs: readonly ContributionRef[]): Secret =>
  new Secret(
    sum.use((bytes) =>
      concatBytes(
        head('sum'),
        rid,
        bytes,
        list(refs, ({ from, hash }) => concatBytes(u16(from), hash)),
      ),
    ),
  )

/** What r says when it is done with a rid; also its answer to helpers of a rid it no longer knows. */
export const encodeOver = (rid: RepairId): Uint8Array => concatBytes(head('over'), rid)

export const encodeDispute = (rid: RepairId, against: ParticipantIndex): Uint8Array =>
  concatBytes(head('dispute'), rid, u16(against))

/** What a node without a reducer for this rid says: no approval yet, no such sharing, too many requests. */
export const encodeRefusal = (rid: RepairId, reason: RepairRefusal): Uint8Array =>
  concatBytes(head('refusal'), rid, u8(REPAIR_REFUSALS.indexOf(reason) + 1))

/**
 * Reads a message of a repair; signatures are not checked. `part` and `sum` hold copies: the caller wipes its frame.
 * @throws KmsError `bad-encoding`, `bad-index`, `too-large`
 */
export function decodeRepairMessage(bytes: Uint8Array): RepairMessage {
  if (bytes.length > MAX_REPAIR_MESSAGE_BYTES)
    throw dkgError('too-large', 'a repair message is longer than any committee allows')
  return decodeAll(bytes, 'repair message', (reader) => {
    if (reader.u8('version') !== VERSION) throw dkgError('bad-encoding', 'unknown version of a repair message')
    const kind = KINDS[reader.u8('kind') - 1]
    if (kind === undefined) throw dkgError('bad-encoding', 'unknown kind of repair message')
    return readBody(reader, kind)
  })
}

function readBody(reader: Reader, kind: RepairMessage['kind']): RepairMessage {
  const rid = (): RepairId => reader.take(32, 'rid')
  switch (kind) {
    case 'request':
      return { kind, signed: decodeSignedBody(reader.rest(4 + REQUEST_BYTES + SIGNATURE_BYTES, 'REQ'), REQUEST_BYTES) }
    case 'contribution': {
      const signed = decodeSignedBody(reader.rest(4 + CONTRIBUTION_BYTES + SIGNATURE_BYTES, 'M1'), CONTRIBUTION_BYTES)
      const named = contributionHead(signed.body)
      if (named === undefined) throw dkgError('bad-encoding', 'M1 ends too early')
      return { kind, rid: named.rid, signed }
    }
    case 'part':
      return { kind, rid: rid(), part: new Secret(reader.take(32, 'part')) }
    case 'sum':
      return { kind, rid: rid(), sum: new Secret(reader.take(32, 'sum')), refs: readRefs(reader) }
    case 'over':
      return { kind, rid: rid() }
    case 'dispute':
      return { kind, rid: rid(), against: readIndex(reader, 'dispute.against') }
    case 'refusal':
      return { kind, rid: rid(), reason: readRefusal(reader) }
  }
}

const readRefs = (reader: Reader): ContributionRef[] =>
  readAscending(
    reader,
    MAX_MEMBERS,
    'sum.refs',
    (item) => ({ from: readIndex(item, 'sum.refs.from'), hash: item.take(32, 'sum.refs.hash') }),
    ({ from }) => from,
  )

function readRefusal(reader: Reader): RepairRefusal {
  const reason = REPAIR_REFUSALS[reader.u8('refusal.reason') - 1]
  if (reason === undefined) throw dkgError('bad-encoding', 'unknown reason of a refusal')
  return reason
}

/** Destroys the secret of a message that nobody wants. */
export function wipeMessage(message: RepairMessage): void {
  if (message.kind === 'part') message.part.destroy()
  if (message.kind === 'sum') message.sum.destroy()
}

/** Which repair a message belongs to, so that a driver can find its reducer; undefined for bytes that are none. */
export function repairIdOf(bytes: Uint8Array): RepairId | undefined {
  const message = attempt(() => decodeRepairMessage(bytes))
  if (message === undefined) return undefined
  wipeMessage(message)
  return message.kind === 'request' ? repairId(message.signed.body) : message.rid
}

/** Whether only an r that asked takes this message: a sigma. Where nobody asked, the answer is `encodeOver`. */
export const isForRecoverer = (bytes: Uint8Array): boolean => bytes[1] === KINDS.indexOf('sum') + 1

/** A REQ as it arrived, for the operator who must approve it; undefined for other bytes. No signature checked. */
export function readRepairRequest(bytes: Uint8Array): (RepairRequest & { readonly rid: RepairId }) | undefined {
  const message = attempt(() => decodeRepairMessage(bytes))
  if (message?.kind !== 'request') return undefined
  const request = attempt(() => decodeRequest(message.signed.body))
  return request && { ...request, rid: repairId(message.signed.body) }
}
