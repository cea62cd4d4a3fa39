import type { AttestationVerdict, RefusalReason } from './verdict.ts'

/** 0 is a yes. Never renumbered: nodes of other versions read them. */
const STATUS = {
  missing: 1,
  malformed: 2,
  signature: 3,
  'report-data': 4,
  measurement: 5,
  debug: 6,
  expired: 7,
  revoked: 8,
  tcb: 9,
  collateral: 10,
  replayed: 11,
} as const satisfies Record<RefusalReason, number>

/** Every reason there is. */
export const REFUSAL_REASONS = Object.keys(STATUS) as readonly RefusalReason[]

/** What the other side is told: a number, and nothing of what this node knows about it. @returns 0..255 */
export const statusOf = (verdict: AttestationVerdict): number =>
  verdict.kind === 'accepted' ? 0 : STATUS[verdict.reason]

/** What a peer told us. @returns undefined for a yes; `unknown` for a status of a later version */
export function reasonOfStatus(status: number): RefusalReason | 'unknown' | undefined {
  if (status === 0) return undefined
  const [reason = 'unknown'] = Object.entries(STATUS).find(([, known]) => known === status) ?? []
  return reason as RefusalReason | 'unknown'
}
