import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { attempt, decodeAll, equalBytes, list, u8, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { VerifyMessage } from '../primitives/ed25519.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { MAX_CERTIFICATE_BYTES } from './certificate.ts'
import { readFacts } from './check-certificate.ts'
import { decodeCert1 } from './cert1.ts'
import { judgeComplaint } from './complaint.ts'
import {
  type CeremonySpec,
  type CommitteeConfig,
  decodeSpec,
  encodeSpec,
  MAX_MEMBERS,
  MAX_SPEC_BYTES,
  type Member,
} from './config.ts'
import { checkDeal } from './dealing.ts'
import { leaderOf, openSession, type Session } from './join.ts'
import { decodeComplain, decodeDeal, decodeJoin } from './messages.ts'
import { type Parties, partiesOf, partyAt } from './parties.ts'
import type { FaultKind } from './fault.ts'
import { followsSession, missums, readPropose } from './proposal.ts'
import {
  decodeSigned,
  MAX_SIGNED_MESSAGE_BYTES,
  messageHash,
  type SignedMessage,
  verifySigned,
} from './signed-message.ts'

export { type Fault, FAULT_KINDS, FAULT_SUMMARIES, type FaultKind } from './fault.ts'

/** The kinds a ceremony proves, in the order of their code: E1 = 1. */
const CEREMONY_KINDS = ['E1', 'E2', 'E3', 'E4', 'E5'] as const
export type CeremonyFaultKind = (typeof CEREMONY_KINDS)[number]

/**
 * u8 1 || u8 kind || var X || [var CERT of the sharing that X replaces, RESHARE only] || list(var signed message), in the order of protocol 7:
 * E1 JOINSET, DEAL; E2 both messages; E3 and E4 JOINSET, DEAL, COMPLAIN; E5 JOINSET, or PROPOSE and, where they are needed, the JOINSET of
 * its view or the DEALs it names.
 * @param previousCertificate RESHARE only
 */
export function encodeEvidence(
  kind: CeremonyFaultKind,
  spec: CeremonySpec,
  messages: readonly SignedMessage[],
  previousCertificate: Uint8Array = new Uint8Array(0),
): Uint8Array {
  return concatBytes(
    u8(1),
    u8(CEREMONY_KINDS.indexOf(kind) + 1),
    varBytes(encodeSpec(spec)),
    spec.kind === 'reshare' ? varBytes(previousCertificate) : new Uint8Array(0),
    list(messages, (message) => varBytes(message.bytes)),
  )
}

interface CeremonyEvidence {
  readonly kind: CeremonyFaultKind
  readonly parties: Parties
  readonly messages: readonly SignedMessage[]
  /** RESHARE: of the sharing that X replaces. */
  readonly previous?: Uint8Array
}

/** @throws KmsError for bytes that are no evidence about a ceremony, or whose X and certificate do not belong together */
function decodeEvidence(curve: Curve, bytes: Uint8Array): CeremonyEvidence {
  return decodeAll(bytes, 'evidence', (reader) => {
    if (reader.u8('version') !== 1) throw dkgError('bad-encoding', 'unknown evidence version')
    const kind = CEREMONY_KINDS[reader.u8('kind') - 1]
    if (kind === undefined) throw dkgError('bad-encoding', 'unknown kind of evidence')
    const spec = decodeSpec(reader.var(MAX_SPEC_BYTES, 'X'))
    const previous = spec.kind === 'reshare' ? reader.var(MAX_CERTIFICATE_BYTES, 'CERT') : undefined
    const messages = reader.list({ min: 1, max: 3 + MAX_MEMBERS }, 'messages', (item) =>
      decodeSigned(item.var(MAX_SIGNED_MESSAGE_BYTES, 'message')),
    )
    // X names the old sharing by the hash of all that matters of it: the signatures on its certificate prove nothing more here.
    const parties = partiesOf(spec, previous && readFacts(curve, previous).key)
    return { kind, parties, messages, ...(previous && { previous }) }
  })
}

/** Who is guilty, if the identity is known: an honest member signs no such messages in whatever ceremony. */
export interface Judgement {
  readonly kind: FaultKind
  readonly culprit: Member
  /** Committees in the evidence: if one of them is trusted, its members are known. */
  readonly committees: readonly CommitteeConfig[]
  /** Certificates in the evidence, not verified: they may lead from a trusted committee to another. */
  readonly certificates: readonly Uint8Array[]
}

/** Judges evidence E1 to E5 about a ceremony; undefined when the bytes prove nothing. Which identity is to be trusted is not asked here. */
export function judgeCeremonyEvidence(curve: Curve, verify: VerifyMessage, bytes: Uint8Array): Judgement | undefined {
  return attempt(() => {
    const evidence = decodeEvidence(curve, bytes)
    const { parties, messages, previous, kind } = evidence
    const authentic = messages.every(
      (message) => equalBytes(message.header.ceremony, parties.ceremony) && verifySigned(verify, parties, message),
    )
    const index = authentic ? findCulprit(curve, verify, evidence) : undefined
    const culprit = index === undefined ? undefined : partyAt(parties, index)
    const committees = [parties.receivers, parties.dealers]
    return culprit && { kind, culprit, committees, certificates: previous === undefined ? [] : [previous] }
  })
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

function findCulprit(curve: Curve, verify: VerifyMessage, evidence: CeremonyEvidence): ParticipantIndex | undefined {
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

function malformedDealer(
  curve: Curve,
  verify: VerifyMessage,
  evidence: CeremonyEvidence,
): ParticipantIndex | undefined {
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
  evidence: CeremonyEvidence,
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
  evidence: CeremonyEvidence,
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
