import { attempt, equalBytes, list, requireAscending, u16, u32 } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { VerifyMessage } from '../primitives/ed25519.ts'
import { taggedHash } from '../primitives/hash.ts'
import type { CeremonyId, ParticipantIndex, PointBytes } from '../primitives/types.ts'
import { concatBytes } from '@noble/hashes/utils.js'
import { type Cert1, decodeCert1, isValidCert1 } from './cert1.ts'
import type { CommitteeConfig } from './config.ts'
import { quorum } from './config.ts'
import { readOnce } from './memo.ts'
import { decodeJoin, decodeJoinset, type JoinPayload } from './messages.ts'
import { isDealer, isReceiver, type Parties } from './parties.ts'
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
  /** The CERT1 of the highest view among the JOINs: this is a re-propose view, and nobody deals (protocol R1). */
  readonly carried?: Cert1
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

/** A JOIN as its sender means it, the CERT1 in it verified. */
export interface Joining extends Omit<JoinPayload, 'cert1'> {
  readonly cert1?: Cert1
}

export interface JoinCheck {
  readonly curve: Curve
  readonly verify: VerifyMessage
  readonly parties: Parties
}

const readJoinOnce = readOnce(({ curve, verify }: Omit<JoinCheck, 'parties'>, parties, join): Joining | undefined => {
  const { from, view } = join.header
  const payload = attempt(() => decodeJoin(curve, parties, join.payload))
  if (payload === undefined || !mayTake(parties, from, payload.role)) return undefined
  const { cert1: bytes, ...rest } = payload
  if (bytes === undefined) return rest
  const cert1 = attempt(() => decodeCert1(curve, parties, bytes))
  if (cert1 === undefined || cert1.view >= view || !isValidCert1(verify, parties, cert1)) return undefined
  return { ...rest, cert1 }
})

/** Reads the payload of a JOIN whose signature holds; undefined when no honest member would send it. */
export const readJoin = (check: JoinCheck, join: SignedMessage): Joining | undefined =>
  readJoinOnce(check, check.parties, join)

/** KEYGEN: everybody is both. Otherwise a member of newConfig receives, and an old holder may deal (protocol R0). */
function mayTake(parties: Parties, from: ParticipantIndex, role: JoinPayload['role']): boolean {
  if (parties.spec.kind === 'keygen') return role === 'both'
  if (role !== 'receiver' && !isDealer(parties, from)) return false
  return isReceiver(parties, from) === (role !== 'dealer')
}

export interface JoinsetCheck extends JoinCheck {
  /** The JOIN already accepted from this sender: its signature need not be checked again. */
  readonly known?: (from: ParticipantIndex) => SignedMessage | undefined
}

/**
 * Checks a JOINSET whose own signature holds: JOINs of this view, signed by distinct parties, ascending, from at least Q receivers, and
 * unless one carries a CERT1, from enough dealers.
 * @returns the session, or undefined: then its leader contradicted itself (E5)
 */
export function openSession(check: JoinsetCheck, joinset: SignedMessage): Session | undefined {
  const { verify, parties } = check
  const { view } = joinset.header
  const joins = attempt(() =>
    decodeJoinset(parties, joinset.payload).map((bytes) => decodeSigned(bytes, parties.maxMessageBytes)),
  )
  if (joins === undefined) return undefined
  const senders = joins.map((join) => join.header.from)
  if (attempt(() => requireAscending(senders, 'JOINSET') ?? true) === undefined) return undefined
  const receivers = new Map<ParticipantIndex, PointBytes>()
  const dealers = new Map<ParticipantIndex, Uint8Array>()
  let carried: Cert1 | undefined
  for (const join of joins) {
    const { header } = join
    if (header.name !== 'join' || header.view !== view || !equalBytes(header.ceremony, parties.ceremony))
      return undefined
    const known = check.known?.(header.from)
    const sameAsKnown = known !== undefined && equalBytes(known.bytes, join.bytes)
    if (!sameAsKnown && !verifySigned(verify, parties, join)) return undefined
    const payload = readJoin(check, sameAsKnown ? known : join)
    if (payload === undefined) return undefined
    if (payload.receiverKey !== undefined) receivers.set(header.from, payload.receiverKey)
    if (payload.dealCommit !== undefined) dealers.set(header.from, payload.dealCommit)
    if (payload.cert1 !== undefined && payload.cert1.view > (carried?.view ?? -1)) carried = payload.cert1
  }
  if (receivers.size < quorum(parties.receivers)) return undefined
  if (carried === undefined && dealers.size < parties.minDealers) return undefined
  const sid = sessionId(parties.ceremony, view, joins)
  return { sid, view, joinset, receivers, dealers, ...(carried && { carried }) }
}
