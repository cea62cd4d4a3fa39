import { DOUBLE_AUTHORIZATION_CODE, judgeDoubleAuthorization } from '../ceremony/authorization-evidence.ts'
import type { Judgement } from '../ceremony/evidence.ts'
import { judgeCeremonyEvidence } from '../ceremony/evidence.ts'
import { type Fault, FAULT_SUMMARIES } from '../ceremony/fault.ts'
import type { Cluster } from '../cluster.ts'
import { WRONG_PARTIAL_KIND, wrongPartialCulprit } from '../decrypt/wrong-partial-evidence.ts'
import type { Curve } from '../primitives/curve.ts'
import type { VerifyMessage } from '../primitives/ed25519.ts'
import { judgeRepairEvidence, REPAIR_EVIDENCE_CODES } from '../repair/evidence.ts'
import { type EvidencePins, isKnownIdentity } from './identities.ts'

/** A bound on evidence that is read: a JOINSET of 64 JOINs that each carry a CERT1, and 64 DEALs. */
export const MAX_EVIDENCE_BYTES: number = 8 * 1024 * 1024

/**
 * Verifies evidence offline (protocol 7, E1 to E7), from the pins of a cluster alone. Behind the version byte stands the code: 1 to 5 are
 * E1 to E5 about a ceremony, 6 is E6, 7 is E7, 8 is E2 by two M1s of a repair, 9 is E2 by two AUTHs.
 * @returns the proven fault, or undefined when the bytes prove nothing about anybody the pins lead to. Never throws.
 */
export function verifyEvidence(
  curve: Curve,
  verify: VerifyMessage,
  bytes: Uint8Array,
  pins: EvidencePins,
): Fault | undefined {
  if (bytes.length > MAX_EVIDENCE_BYTES) return undefined
  if (bytes[1] === WRONG_PARTIAL_KIND) {
    const culprit = wrongPartialCulprit(curve, verify, bytes, pins)
    return culprit && { culprit, kind: 'E6', certainty: 'proven', summary: FAULT_SUMMARIES.E6, evidence: bytes }
  }
  const judgement = judge(curve, verify, bytes)
  if (judgement === undefined || !isKnownIdentity(curve, verify, pins, judgement.culprit, judgement)) return undefined
  const { kind, culprit } = judgement
  return { culprit: culprit.index, kind, certainty: 'proven', summary: FAULT_SUMMARIES[kind], evidence: bytes }
}

function judge(curve: Curve, verify: VerifyMessage, bytes: Uint8Array): Judgement | undefined {
  const [, code] = bytes
  if (code === REPAIR_EVIDENCE_CODES.E7 || code === REPAIR_EVIDENCE_CODES.E2)
    return judgeRepairEvidence(curve, verify, bytes)
  if (code === DOUBLE_AUTHORIZATION_CODE) return judgeDoubleAuthorization(verify, bytes)
  return judgeCeremonyEvidence(curve, verify, bytes)
}

/**
 * The pins in a cluster file that is trusted as given: its genesis committee, its certificates, its address book.
 * @param accepted hashes of committees taken on by hand, 32 bytes each
 */
export const evidencePins = (cluster: Cluster, accepted: readonly Uint8Array[] = []): EvidencePins => ({
  configHash: cluster.configHash,
  accepted,
  certificates: cluster.certificates,
  members: [...cluster.config.members, ...cluster.nodes],
})
