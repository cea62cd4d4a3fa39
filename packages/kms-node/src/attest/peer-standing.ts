import type { AttestationVerdict, RefusalReason } from './verdict.ts'

/** A proof counts for a day at most, whatever its collateral says: what runs there may have been changed since. */
const MAX_PROOF_MS = 86_400_000
/** A refused peer is asked again on the same connection, when somebody wants to use it, after this time. */
const RETRY_MS = 10_000
/** The same where it only did not answer. */
const RETRY_UNANSWERED_MS = 1_000

/** The certificates that a peer goes by, beside those of this node. */
export type CertificatesCompared = 'same' | 'other'

/** What was found out about a connection. */
export type Standing =
  | {
      readonly kind: 'accepted'
      readonly shown: {
        readonly measurement: string
        readonly tcbStatus: string
        readonly certificates: CertificatesCompared
        readonly expiresMs: number
      }
      /** From then on the proof has expired. */
      readonly expiresMs: number
      /** From then on it counts for nothing unless it was renewed. */
      readonly endsMs: number
      readonly renewAtMs: number
    }
  /** Everything holds but the date. */
  | { readonly kind: 'expired'; readonly endsMs: number; readonly renewAtMs: number }
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly retryAtMs: number }

/** @param nowMs Unix milliseconds */
export function acceptedStanding(
  verdict: Extract<AttestationVerdict, { kind: 'accepted' }>,
  certificates: CertificatesCompared,
  nowMs: number,
): Extract<Standing, { kind: 'accepted' }> {
  const { measurement, tcbStatus, expiresMs } = verdict
  const endsMs = nowMs + MAX_PROOF_MS
  const renewAtMs = nowMs + Math.max(0, Math.min(expiresMs, endsMs) - nowMs) / 2
  return { kind: 'accepted', shown: { measurement, tcbStatus, certificates, expiresMs }, expiresMs, endsMs, renewAtMs }
}

/** What comes of a proof that was refused. @param before what stood until then @param dateOnly nothing but its date is against it */
export function refusedStanding(
  before: Standing | undefined,
  { reason, dateOnly, nowMs }: { readonly reason: RefusalReason; readonly dateOnly: boolean; readonly nowMs: number },
): Standing {
  const retryAtMs = nowMs + (reason === 'missing' ? RETRY_UNANSWERED_MS : RETRY_MS)
  if (dateOnly && phaseOf(before, nowMs) !== 'proven')
    return { kind: 'expired', endsMs: nowMs + MAX_PROOF_MS, renewAtMs: retryAtMs }
  // No answer to a renewal, one that only the date is against, or no collateral here, which is not the peer's fault: what stands is good
  // until its own end.
  const isOpen = dateOnly || reason === 'missing' || reason === 'collateral'
  if (before !== undefined && before.kind !== 'refused' && isOpen) return { ...before, renewAtMs: retryAtMs }
  return { kind: 'refused', reason, retryAtMs }
}

/** What a connection is worth at this time. */
export function phaseOf(standing: Standing | undefined, nowMs: number): 'proven' | 'expired' | 'refused' | 'unproven' {
  if (standing === undefined) return 'unproven'
  if (standing.kind === 'refused') return 'refused'
  if (nowMs >= standing.endsMs) return 'unproven'
  return standing.kind === 'accepted' && nowMs < standing.expiresMs ? 'proven' : 'expired'
}

/** Whether what is against a quote may be no more than that its papers are old. */
export const isDated = (verdict: AttestationVerdict): boolean =>
  verdict.kind === 'refused' && verdict.reason === 'expired'
