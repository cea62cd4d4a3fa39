import { attempt, equalBytes, list, requireAscending, u16, u32 } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { VerifyMessage } from '../primitives/ed25519.ts'
import { taggedHash } from '../primitives/hash.ts'
import type { CeremonyId, ParticipantIndex, PointBytes } from '../primitives/types.ts'
import { concatBytes } from '@noble/hashes/utils.js'
import type { CeremonySpec, CommitteeConfig } from './config.ts'
import { quorum } from './config.ts'
import { decodeJoin, decodeJoinset, type JoinPayload } from './messages.ts'
import { decodeSigned, messageHash, type SignedMessage, verifySigned } from './signed-message.ts'

/** A view after its JOINSET: who deals, who receives, under which session id (protocol R1). */
export interface Session {
  readonly sid: Uint8Array
  readonly view: number
  readonly joinset: SignedMessage
  /** EK_j of every receiver, ascending by index. */
  readonly receivers: ReadonlyMap<ParticipantIndex, PointBytes>
  /** c_i of every dealer, ascending by index. */
  readonly dealers: ReadonlyMap<ParticipantIndex, Uint8Array>
}

/** The leader of view v: members by index, position (first 4 bytes of the ceremony id + v) mod n (protocol 4). */
export function leaderOf(config: CommitteeConfig, ceremony: CeremonyId, view: number): ParticipantIndex {
  const [a = 0, b = 0, c = 0, d = 0] = ceremony
  const start = a * 0x1000000 + b * 0x10000 + c * 0x100 + d
  const leader = config.members[(start + view) % config.n]
  if (leader === undefined) throw new RangeError('a committee has members')
  return leader.index
}

/** sid = TH("session", ceremony || u32 v || list(u16 j || TH("join", JOIN_j))) (protocol R1). 32 bytes. */
export function sessionId(ceremony: CeremonyId, view: number, joins: readonly SignedMessage[]): Uint8Array {
  return taggedHash(
    'session',
    ceremony,
    u32(view),
    list(joins, (join) => concatBytes(u16(join.header.from), messageHash(join))),
  )
}

/**
 * Reads the payload of a JOIN whose signature holds; undefined when a member of newConfig would not send it.
 * KEYGEN: role "both" only. A JOIN of view 0 cannot carry a CERT1, since that is of a lower view.
 */
export function readJoin(curve: Curve, spec: CeremonySpec, join: SignedMessage): JoinPayload | undefined {
  const payload = attempt(() => decodeJoin(curve, spec.newConfig, join.payload))
  if (payload === undefined) return undefined
  if (spec.kind === 'keygen' && payload.role !== 'both') return undefined
  if (payload.cert1 !== undefined && join.header.view === 0) return undefined
  return payload
}

export interface JoinsetCheck {
  readonly curve: Curve
  readonly verify: VerifyMessage
  readonly spec: CeremonySpec
  readonly ceremony: CeremonyId
  /** The JOIN already accepted from this sender: its signature need not be checked again. */
  readonly known?: (from: ParticipantIndex) => SignedMessage | undefined
}

/**
 * Checks a JOINSET whose own signature holds: enough JOINs, all of this view, signed by distinct members, ascending.
 * @returns the session, or undefined: then its leader contradicted itself (E5)
 */
export function openSession(check: JoinsetCheck, joinset: SignedMessage): Session | undefined {
  const { curve, verify, spec, ceremony } = check
  const config = spec.newConfig
  const { view } = joinset.header
  const joins = attempt(() => decodeJoinset(config, joinset.payload).map((bytes) => decodeSigned(bytes)))
  if (joins === undefined || joins.length < quorum(config)) return undefined
  const senders = joins.map((join) => join.header.from)
  if (attempt(() => requireAscending(senders, 'JOINSET') ?? true) === undefined) return undefined
  const receivers = new Map<ParticipantIndex, PointBytes>()
  const dealers = new Map<ParticipantIndex, Uint8Array>()
  for (const join of joins) {
    const { header } = join
    if (header.name !== 'join' || header.view !== view || !equalBytes(header.ceremony, ceremony)) return undefined
    const known = check.known?.(header.from)
    const sameAsKnown = known !== undefined && equalBytes(known.bytes, join.bytes)
    if (!sameAsKnown && !verifySigned(verify, config, join)) return undefined
    const payload = readJoin(curve, spec, join)
    if (payload === undefined) return undefined
    if (payload.receiverKey !== undefined) receivers.set(header.from, payload.receiverKey)
    if (payload.dealCommit !== undefined) dealers.set(header.from, payload.dealCommit)
  }
  return { sid: sessionId(ceremony, view, joins), view, joinset, receivers, dealers }
}
