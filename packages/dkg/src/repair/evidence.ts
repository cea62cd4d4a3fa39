import { concatBytes } from '@noble/hashes/utils.js'
import { type Fault, FAULT_SUMMARIES } from '../ceremony/evidence.ts'
import { attempt, decodeAll, equalBytes, list, u8, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { VerifyMessage } from '../primitives/ed25519.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { checkContribution, checkRequest } from './contribution.ts'
import {
  contributionHead,
  CONTRIBUTION_TAG,
  decodeRequest,
  MAX_REPAIR_MESSAGE_BYTES,
  repairId,
  type RepairRequest,
  type RepairSharing,
} from './messages.ts'
import { decodeSignedBody, type SignedBody, verifySignedBody } from './signed-body.ts'

/** The code of repair evidence behind the version byte (protocol 7): E7, and E2 by two M1s. */
export const REPAIR_EVIDENCE_CODES = { E7: 7, E2: 8 } as const
type RepairFaultKind = keyof typeof REPAIR_EVIDENCE_CODES

/** u8 1 || u8 code || list(var signed): REQ, M1 for E7; REQ and both M1s for E2. */
export function encodeRepairEvidence(
  kind: RepairFaultKind,
  request: SignedBody,
  contributions: readonly SignedBody[],
): Uint8Array {
  return concatBytes(
    u8(1),
    u8(REPAIR_EVIDENCE_CODES[kind]),
    list([request, ...contributions], (signed) => varBytes(signed.bytes)),
  )
}

/** A proven fault of a helper, with its evidence. */
export function repairFault(
  kind: RepairFaultKind,
  culprit: ParticipantIndex,
  request: SignedBody,
  contributions: readonly SignedBody[],
): Fault {
  const evidence = encodeRepairEvidence(kind, request, contributions)
  return { culprit, kind, certainty: 'proven', summary: FAULT_SUMMARIES[kind], evidence }
}

interface DecodedRepairEvidence {
  readonly kind: RepairFaultKind
  readonly request: SignedBody
  readonly decoded: RepairRequest
  readonly contributions: readonly SignedBody[]
}

function decodeRepairEvidence(bytes: Uint8Array): DecodedRepairEvidence | undefined {
  return attempt(() =>
    decodeAll(bytes, 'repair evidence', (reader) => {
      const version = reader.u8('version')
      const code = reader.u8('kind')
      const kind = code === REPAIR_EVIDENCE_CODES.E7 ? 'E7' : code === REPAIR_EVIDENCE_CODES.E2 ? 'E2' : undefined
      const [request, ...contributions] = reader.list({ min: 2, max: 3 }, 'messages', (item) =>
        decodeSignedBody(item.var(MAX_REPAIR_MESSAGE_BYTES, 'message'), MAX_REPAIR_MESSAGE_BYTES),
      )
      if (version !== 1 || kind === undefined || request === undefined) return undefined
      return { kind, request, decoded: decodeRequest(request.body), contributions }
    }),
  )
}

/**
 * Verifies E7, or E2 by two M1s, offline (protocol 7).
 * @param sharingOf the sharing of that id from verified certificates; undefined when none is known
 * @returns the proven fault, or undefined when the bytes prove nothing
 */
export function verifyRepairEvidence(
  curve: Curve,
  verify: VerifyMessage,
  bytes: Uint8Array,
  sharingOf: (sharingId: Uint8Array) => RepairSharing | undefined,
): Fault | undefined {
  const evidence = decodeRepairEvidence(bytes)
  const sharing = evidence && sharingOf(evidence.decoded.sharingId)
  // Without a valid REQ nobody owed a contribution: an honest helper signs no M1 for another one.
  if (evidence === undefined || sharing === undefined) return undefined
  if (checkRequest(verify, sharing, evidence.request) === undefined) return undefined
  const culprit =
    evidence.kind === 'E7'
      ? badContributor(curve, verify, sharing, evidence)
      : doubleContributor(verify, sharing, evidence)
  return (
    culprit && { ...repairFault(evidence.kind, culprit, evidence.request, evidence.contributions), evidence: bytes }
  )
}

function badContributor(
  curve: Curve,
  verify: VerifyMessage,
  sharing: RepairSharing,
  { request, decoded, contributions }: DecodedRepairEvidence,
): ParticipantIndex | undefined {
  const [signed] = contributions
  if (signed === undefined || contributions.length !== 1) return undefined
  const check = checkContribution(curve, verify, sharing, { decoded, body: request.body }, signed)
  return check.kind === 'bad' ? check.from : undefined
}

function doubleContributor(
  verify: VerifyMessage,
  sharing: RepairSharing,
  { request, decoded, contributions }: DecodedRepairEvidence,
): ParticipantIndex | undefined {
  const [first, second] = contributions
  if (first === undefined || second === undefined || equalBytes(first.body, second.body)) return undefined
  const rid = repairId(request.body)
  const makers = [first, second].map((signed) => {
    const head = contributionHead(signed.body)
    const from = decoded.helpers.find((helper) => helper === head?.from)
    const authentic =
      head !== undefined &&
      from !== undefined &&
      equalBytes(head.rid, rid) &&
      verifySignedBody(verify, sharing.config, CONTRIBUTION_TAG, from, signed)
    return authentic ? from : undefined
  })
  return makers[0] === makers[1] ? makers[0] : undefined
}
