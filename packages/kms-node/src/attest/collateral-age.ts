import { hexToBytes } from '@noble/hashes/utils.js'
import { type ListDates, listDates } from './certificates.ts'
import type { Collateral } from './collateral.ts'
import { readable } from './readable.ts'
import { parseSignedDates, type SignedDates } from './signed-json.ts'

/**
 * Of two pieces of collateral of one kind of platform, each of the four parts as its issuer made it last: a service that gives an
 * old list, which still holds, brings back nobody who was revoked since. What is not readable is older than everything.
 * @param kept wins where both are of one time
 */
export function newestParts(kept: Collateral, given: Collateral): Collateral {
  const rootList = isNewerList(given.root_ca_crl, kept.root_ca_crl) ? given : kept
  const pckList = isNewerList(given.pck_crl, kept.pck_crl) ? given : kept
  const tcb = issuedMs(given.tcb_info) > issuedMs(kept.tcb_info) ? given : kept
  const identity = issuedMs(given.qe_identity) > issuedMs(kept.qe_identity) ? given : kept
  return {
    pck_crl_issuer_chain: pckList.pck_crl_issuer_chain,
    root_ca_crl: rootList.root_ca_crl,
    pck_crl: pckList.pck_crl,
    tcb_info_issuer_chain: tcb.tcb_info_issuer_chain,
    tcb_info: tcb.tcb_info,
    tcb_info_signature: tcb.tcb_info_signature,
    qe_identity_issuer_chain: identity.qe_identity_issuer_chain,
    qe_identity: identity.qe_identity,
    qe_identity_signature: identity.qe_identity_signature,
  }
}

/** When the first of the four parts that Intel renews runs out. Unix milliseconds; 0 where one is not readable. */
export const holdsUntil = ({ tcb_info, qe_identity, root_ca_crl, pck_crl }: Collateral): number =>
  Math.min(
    ...[tcb_info, qe_identity].map((text) => datesOf(text)?.nextUpdate ?? 0),
    ...[root_ca_crl, pck_crl].map((list) => listOf(list)?.untilMs ?? 0),
  )

const datesOf = (text: string): SignedDates | undefined => parseSignedDates(text)
const issuedMs = (text: string): number => datesOf(text)?.issueDate ?? Number.NEGATIVE_INFINITY
const listOf = (hex: string): ListDates | undefined => listDates(readable(() => hexToBytes(hex)) ?? new Uint8Array(0))

/** By the number that the issuer counts (RFC 5280, 5.2.3) where both have one, then by the time of issue: some count nothing. */
function isNewerList(given: string, kept: string): boolean {
  const [one, other] = [listOf(given), listOf(kept)]
  if (one === undefined || other === undefined) return one !== undefined
  if (one.number !== undefined && other.number !== undefined && one.number !== other.number)
    return one.number > other.number
  return one.fromMs > other.fromMs
}
