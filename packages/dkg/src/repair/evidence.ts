import { concatBytes } from '@noble/hashes/utils.js'
import { MAX_CERTIFICATE_BYTES } from '../ceremony/certificate.ts'
import { readFacts } from '../ceremony/check-certificate.ts'
import { memberAt } from '../ceremony/config.ts'
import type { Judgement } from '../ceremony/evidence.ts'
import { type Fault, FAULT_SUMMARIES } from '../ceremony/fault.ts'
import { attempt, decodeAll, equalBytes, list, u8, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { VerifyMessage } from '../primitives/ed25519.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { checkContribution, checkRequest } from './contribution.ts'
import {
  contributionHead,
  CONTRIBUTION_TAG,
  MAX_REPAIR_MESSAGE_BYTES,
  repairId,
  type RepairRequest,
  type RepairSharing,
} from './messages.ts'
import { decodeSignedBody, type SignedBody, verifySignedBody } from './signed-body.ts'

/** The code of repair evidence behind the version byte (protocol 7): E7, and E2 by two M1s. */
export const REPAIR_EVIDENCE_CODES = { E7: 7, E2: 8 } as const
type RepairFaultKind = keyof typeof REPAIR_EVIDENCE_CODES

/** u8 1 || u8 code || var CERT of the sharing || list(var signed): REQ, M1 for E7; REQ and both M1s for E2. */
export function encodeRepairEvidence(
  kind: RepairFaultKind,
  certificate: Uint8Array,
  request: SignedBody,
  contributions: readonly SignedBody[],
): Uint8Array {
  return concatBytes(
    u8(1),
    u8(REPAIR_EVIDENCE_CODES[kind]),
    varBytes(certificate),
    list([request, ...contributions], (signed) => varBytes(signed.bytes)),
  )
}

/** A proven fault of a helper, with its evidence. */
export function repairFault(
  kind: RepairFaultKind,
  culprit: ParticipantIndex,
  about: { readonly sharing: RepairSharing; readonly request: SignedBody },
  contributions: readonly SignedBody[],
): Fault {
  const evidence = encodeRepairEvidence(kind, about.sharing.certificate, about.request, contributions)
  return { culprit, kind, certainty: 'proven', summary: FAULT_SUMMARIES[kind], evidence }
}

interface RepairEvidence {
  readonly kind: RepairFaultKind
  readonly sharing: RepairSharing
  readonly request: SignedBody
  readonly decoded: RepairRequest
  readonly contributions: readonly SignedBody[]
}

/** @throws KmsError for bytes that are no evidence about a repair */
function decodeRepairEvidence(curve: Curve, verify: VerifyMessage, bytes: Uint8Array): RepairEvidence | undefined {
  return decodeAll(bytes, 'repair evidence', (reader) => {
    const version = reader.u8('version')
    const code = reader.u8('kind')
    const kind = code === REPAIR_EVIDENCE_CODES.E7 ? 'E7' : code === REPAIR_EVIDENCE_CODES.E2 ? 'E2' : undefined
    // REQ names the sharing by the hash of all that matters of it: the signatures on its certificate prove nothing more here.
    const sharing = readFacts(curve, reader.var(MAX_CERTIFICATE_BYTES, 'CERT')).key
    const [request, ...contributions] = reader.list({ min: 2, max: 3 }, 'messages', (item) =>
      decodeSignedBody(item.var(MAX_REPAIR_MESSAGE_BYTES, 'message'), MAX_REPAIR_MESSAGE_BYTES),
    )
    // Without a valid REQ nobody owed a contribution: an honest helper signs no M1 for another one.
    const decoded = request && checkRequest(verify, sharing, request)
    if (version !== 1 || kind === undefined || request === undefined || decoded === undefined) return undefined
    return { kind, sharing, request, decoded, contributions }
  })
}

/** Judges E7, or E2 by two M1s (protocol 7); undefined when the bytes prove nothing. Which identity is to be trusted is not asked here. */
export function judgeRepairEvidence(curve: Curve, verify: VerifyMessage, bytes: Uint8Array): Judgement | undefined {
  const evidence = attempt(() => decodeRepairEvidence(curve, verify, bytes))
  if (evidence === undefined) return undefined
  const index = evidence.kind === 'E7' ? badContributor(curve, verify, evidence) : doubleContributor(verify, evidence)
  const { kind, sharing } = evidence
  const culprit = index === undefined ? undefined : memberAt(sharing.config, index)
  return culprit && { kind, culprit, committees: [sharing.config], certificates: [sharing.certificate] }
}

function badContributor(
  curve: Curve,
  verify: VerifyMessage,
  { sharing, request, decoded, contributions }: RepairEvidence,
): ParticipantIndex | undefined {
  const [signed] = contributions
  if (signed === undefined || contributions.length !== 1) return undefined
  const check = checkContribution(curve, verify, sharing, { decoded, body: request.body }, signed)
  return check.kind === 'bad' ? check.from : undefined
}

function doubleContributor(
  verify: VerifyMessage,
  { sharing, request, decoded, contributions }: RepairEvidence,
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
