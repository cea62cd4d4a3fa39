import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { attempt, decodeAll, equalBytes, list, u8, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { VerifyMessage } from '../primitives/ed25519.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { decodeCert1 } from './cert1.ts'
import { judgeComplaint } from './complaint.ts'
import { type CeremonySpec, configHash, decodeSpec, encodeSpec, MAX_MEMBERS, MAX_SPEC_BYTES } from './config.ts'
import { checkDeal } from './dealing.ts'
import { leaderOf, openSession, type Session } from './join.ts'
import { decodeComplain, decodeDeal, decodeJoin } from './messages.ts'
import { type Parties, partiesOf } from './parties.ts'
import { followsSession, missums, readPropose } from './proposal.ts'
import {
  decodeSigned,
  MAX_SIGNED_MESSAGE_BYTES,
  messageHash,
  type SignedMessage,
  verifySigned,
} from './signed-message.ts'

/** Kinds of protocol 7; E6 and E7 concern serving and repair. */
export type FaultKind = 'E1' | 'E2' | 'E3' | 'E4' | 'E5' | 'E6' | 'E7'

/** A peer's misbehaviour, as a value. */
export interface Fault {
  readonly culprit: ParticipantIndex
  readonly kind: FaultKind
  readonly certainty: 'proven' | 'alleged'
  /** One sentence of our own for the operator. */
  readonly summary: string
  /** Self-contained bytes that anyone can verify offline with `verifyEvidence`; empty when only alleged. */
  readonly evidence: Uint8Array
}

export const FAULT_KINDS: readonly FaultKind[] = ['E1', 'E2', 'E3', 'E4', 'E5', 'E6', 'E7']

/** The kinds a ceremony proves, in the order of their code: E1 = 1. */
const CEREMONY_KINDS = ['E1', 'E2', 'E3', 'E4', 'E5'] as const
export type CeremonyFaultKind = (typeof CEREMONY_KINDS)[number]

/**
 * u8 1 || u8 kind || var X || list(var signed message), in the order of protocol 7:
 * E1 JOINSET, DEAL; E2 both messages; E3 and E4 JOINSET, DEAL, COMPLAIN; E5 JOINSET, or PROPOSE and, where they are needed, the DEALs it names.
 */
export function encodeEvidence(
  kind: CeremonyFaultKind,
  spec: CeremonySpec,
  messages: readonly SignedMessage[],
  _previousCertificate?: Uint8Array,
): Uint8Array {
  return concatBytes(
    u8(1),
    u8(CEREMONY_KINDS.indexOf(kind) + 1),
    varBytes(encodeSpec(spec)),
    list(messages, (message) => varBytes(message.bytes)),
  )
}

interface JudgedEvidence extends DecodedEvidence {
  readonly parties: Parties
}

interface DecodedEvidence {
  readonly kind: CeremonyFaultKind
  readonly spec: CeremonySpec
  readonly messages: readonly SignedMessage[]
}

/** @throws KmsError `bad-encoding`, `bad-config`, `unsupported` */
export function decodeEvidence(bytes: Uint8Array): DecodedEvidence {
  return decodeAll(bytes, 'evidence', (reader) => {
    if (reader.u8('version') !== 1) throw dkgError('bad-encoding', 'unknown evidence version')
    const kind = CEREMONY_KINDS[reader.u8('kind') - 1]
    if (kind === undefined) throw dkgError('bad-encoding', 'unknown kind of evidence')
    const spec = decodeSpec(reader.var(MAX_SPEC_BYTES, 'X'))
    const messages = reader.list({ min: 1, max: 3 + MAX_MEMBERS }, 'messages', (item) =>
      decodeSigned(item.var(MAX_SIGNED_MESSAGE_BYTES, 'message')),
    )
    return { kind, spec, messages }
  })
}

/** What `summary` says of each kind. */
export const FAULT_SUMMARIES: Readonly<Record<FaultKind, string>> = {
  E1: 'sent a malformed or inconsistent dealing',
  E2: 'signed two different messages for one slot',
  E3: 'dealt a bad share to another node',
  E4: 'accused an honest dealer',
  E5: 'led with a message that contradicts itself',
  E6: 'answered with a wrong partial decryption',
  E7: 'contributed wrongly to a repair',
}

/** Slots in which two different signed messages are a fault (protocol 7, E2). VOUCH is not among them. */
export const SINGLE_SLOT_NAMES: ReadonlySet<string> = new Set(['join', 'joinset', 'deal', 'propose', 'vote', 'commit'])

/**
 * Whether a COMMIT is contradicted by another message of its sender (protocol 7, E2): an ABANDON, or a JOIN of a later view that carries
 * no CERT1 of the COMMIT's view or a later one.
 */
export function contradicts(curve: Curve, parties: Parties, commit: SignedMessage, other: SignedMessage): boolean {
  if (commit.header.name !== 'commit' || commit.header.from !== other.header.from) return false
  if (other.header.name === 'abandon') return true
  if (other.header.name !== 'join' || other.header.view <= commit.header.view) return false
  const join = attempt(() => decodeJoin(curve, parties, other.payload))
  if (join === undefined) return false
  const { cert1 } = join
  if (cert1 === undefined) return true
  const carried = attempt(() => decodeCert1(curve, parties, cert1))
  return carried !== undefined && carried.view < commit.header.view
}

/**
 * Verifies evidence offline, from the pinned committee alone (protocol 7, E1 to E5).
 * @param pin.configHash 32 bytes; evidence against another committee is refused
 * @returns the proven fault, or undefined when the bytes prove nothing
 */
export function verifyEvidence(
  curve: Curve,
  verify: VerifyMessage,
  bytes: Uint8Array,
  pin: { readonly configHash: Uint8Array },
): Fault | undefined {
  const decoded = attempt(() => decodeEvidence(bytes))
  if (decoded === undefined || !equalBytes(configHash(decoded.spec.newConfig), pin.configHash)) return undefined
  // What this version would judge by the rules of a key generation proves nothing about a resharing.
  if (decoded.spec.kind !== 'keygen') return undefined
  const parties = partiesOf(decoded.spec)
  const { ceremony } = parties
  const authentic = decoded.messages.every(
    (message) => equalBytes(message.header.ceremony, ceremony) && verifySigned(verify, parties, message),
  )
  if (!authentic) return undefined
  const culprit = findCulprit(curve, verify, { ...decoded, parties })
  if (culprit === undefined) return undefined
  return { culprit, kind: decoded.kind, certainty: 'proven', summary: FAULT_SUMMARIES[decoded.kind], evidence: bytes }
}

function findCulprit(curve: Curve, verify: VerifyMessage, evidence: JudgedEvidence): ParticipantIndex | undefined {
  const { kind, messages } = evidence
  switch (kind) {
    case 'E1':
      return malformedDealer(curve, verify, evidence)
    case 'E2':
      return equivocator(curve, evidence.parties, messages)
    case 'E3':
    case 'E4':
      return guiltyOfComplaint(curve, verify, evidence)
    case 'E5':
      return contradictingLeader(curve, verify, evidence)
  }
}

function sessionOf(
  curve: Curve,
  verify: VerifyMessage,
  parties: Parties,
  joinset: SignedMessage | undefined,
): Session | undefined {
  if (joinset?.header.name !== 'joinset') return undefined
  if (joinset.header.from !== leaderOf(parties.receivers, parties.ceremony, joinset.header.view)) return undefined
  return openSession({ curve, verify, parties }, joinset)
}

function malformedDealer(curve: Curve, verify: VerifyMessage, evidence: JudgedEvidence): ParticipantIndex | undefined {
  const { parties, messages } = evidence
  const deal = messages[1]
  if (messages.length !== 2 || deal?.header.name !== 'deal') return undefined
  const session = sessionOf(curve, verify, parties, messages[0])
  if (session === undefined || session.view !== deal.header.view) return undefined
  const check = checkDeal(curve, parties, session, deal)
  // D1 alone is not guilt: the DEAL may belong to another JOINSET of the same view.
  return check.ok || check.failed === 'D1' ? undefined : deal.header.from
}

function equivocator(curve: Curve, parties: Parties, messages: readonly SignedMessage[]): ParticipantIndex | undefined {
  const [first, second] = messages
  if (first === undefined || second === undefined || messages.length !== 2) return undefined
  if (contradicts(curve, parties, first, second) || contradicts(curve, parties, second, first)) return first.header.from
  const sameSlot =
    first.header.name === second.header.name &&
    first.header.view === second.header.view &&
    first.header.from === second.header.from &&
    SINGLE_SLOT_NAMES.has(first.header.name)
  return sameSlot && !equalBytes(first.body, second.body) ? first.header.from : undefined
}

function guiltyOfComplaint(
  curve: Curve,
  verify: VerifyMessage,
  evidence: JudgedEvidence,
): ParticipantIndex | undefined {
  const { kind, parties, messages } = evidence
  const [joinset, deal, complain] = messages
  if (messages.length !== 3 || deal?.header.name !== 'deal' || complain?.header.name !== 'complain') return undefined
  const session = sessionOf(curve, verify, parties, joinset)
  if (session === undefined || !checkDeal(curve, parties, session, deal).ok) return undefined
  const verdict = complaintVerdict(curve, parties, session, deal, complain)
  const culprit = verdict === 'dealer' ? deal.header.from : verdict === 'complainer' ? complain.header.from : undefined
  return (kind === 'E3') === (verdict === 'dealer') ? culprit : undefined
}

/** The verdict on a COMPLAIN against a DEAL that passed D1..D5; undefined when the complaint is about something else. */
export function complaintVerdict(
  curve: Curve,
  parties: Parties,
  session: Session,
  deal: SignedMessage,
  complain: SignedMessage,
): 'dealer' | 'complainer' | undefined {
  const complaint = attempt(() => decodeComplain(curve, complain.payload))
  const dealing = attempt(() => decodeDeal(curve, parties, deal.payload))
  const index = complain.header.from
  const receiverKey = session.receivers.get(index)
  if (complaint === undefined || dealing === undefined || receiverKey === undefined) return undefined
  const concerns =
    complain.header.view === session.view &&
    equalBytes(complaint.sid, session.sid) &&
    complaint.dealer === deal.header.from &&
    equalBytes(complaint.dealHash, messageHash(deal))
  return concerns ? judgeComplaint(curve, dealing, complaint, { index, receiverKey }) : undefined
}

function contradictingLeader(
  curve: Curve,
  verify: VerifyMessage,
  evidence: JudgedEvidence,
): ParticipantIndex | undefined {
  const { parties, messages } = evidence
  const [first, ...rest] = messages
  if (first === undefined) return undefined
  const { name, from, view } = first.header
  if (from !== leaderOf(parties.receivers, parties.ceremony, view)) return undefined
  if (name === 'joinset')
    return rest.length === 0 && sessionOf(curve, verify, parties, first) === undefined ? from : undefined
  if (name !== 'propose') return undefined
  const reading = readPropose({ curve, verify }, parties, first)
  if (reading.kind === 'contradiction') return from
  const [joinset] = rest
  if (joinset?.header.name === 'joinset') {
    const session = sessionOf(curve, verify, parties, joinset)
    return session?.view === view && !followsSession(reading, session) ? from : undefined
  }
  return reading.kind === 'fresh' && missums(curve, parties, reading.outcome, rest) ? from : undefined
}
