import { attempt, bytesKey, equalBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { VerifyMessage } from '../primitives/ed25519.ts'
import { type Cert1, decodeCert1, isValidCert1 } from './cert1.ts'
import type { Session } from './join.ts'
import { readOnce } from './memo.ts'
import { decodePropose } from './messages.ts'
import { combineDealings, decodeOutcome, isOutcomeOf, type Outcome } from './outcome.ts'
import type { Parties } from './parties.ts'
import { readDeal } from './readings.ts'
import { messageHash, type SignedMessage } from './signed-message.ts'

interface ProposalPorts {
  readonly curve: Curve
  readonly verify: VerifyMessage
}

/** What a PROPOSE whose signature holds says, taken by itself. */
export type ProposalReading =
  | { readonly kind: 'fresh'; readonly outcome: Outcome; readonly bytes: Uint8Array }
  /** The outcome of an earlier view, with the CERT1 that carried it here. */
  | { readonly kind: 're-propose'; readonly cert1: Cert1 }
  /** No honest leader signs it: proof of guilt by itself (protocol 7, E5). */
  | { readonly kind: 'contradiction' }

const CONTRADICTION: ProposalReading = { kind: 'contradiction' }

/** Reads a PROPOSE and checks all that follows from its own bytes and X: view, ceremony, key, size and members of QUAL, CERT1. */
export const readPropose: (ports: ProposalPorts, parties: Parties, propose: SignedMessage) => ProposalReading =
  readOnce(({ curve, verify }: ProposalPorts, parties, propose) => {
    const { view } = propose.header
    const payload = attempt(() => decodePropose(parties, propose.payload))
    if (payload === undefined) return CONTRADICTION
    if (payload.mode === 're-propose') {
      const cert1 = attempt(() => decodeCert1(curve, parties, payload.cert1))
      const holds =
        cert1 !== undefined &&
        cert1.view < view &&
        equalBytes(cert1.outcomeBytes, payload.outcome) &&
        isValidCert1(verify, parties, cert1)
      return holds ? { kind: 're-propose', cert1 } : CONTRADICTION
    }
    const outcome = attempt(() => decodeOutcome(curve, parties.receivers, payload.outcome))
    if (outcome === undefined || outcome.view !== view || !isOutcomeOf(parties, outcome)) return CONTRADICTION
    return { kind: 'fresh', outcome, bytes: payload.outcome }
  })

/** Whether a PROPOSE goes with the JOINSET of its view: an honest leader signs one of each, and ignores no CERT1 in its JOINSET (R1, R4). */
export function followsSession(reading: ProposalReading, session: Session): boolean {
  const { carried, sid } = session
  if (reading.kind === 'fresh') return carried === undefined && equalBytes(reading.outcome.sid, sid)
  if (reading.kind === 're-propose') return carried !== undefined && equalBytes(reading.cert1.hash, carried.hash)
  return false
}

/**
 * Whether A' is not what the dealings that OUT names give (protocol R4). Says nothing, so false, unless exactly those DEALs are given.
 * @param deals signed DEALs in the order of QUAL
 */
export function missums(curve: Curve, parties: Parties, outcome: Outcome, deals: readonly SignedMessage[]): boolean {
  const named =
    deals.length === outcome.dealings.length &&
    outcome.dealings.every(({ dealer, dealHash }, at) => {
      const deal = deals[at]
      return (
        deal?.header.name === 'deal' &&
        deal.header.from === dealer &&
        bytesKey(messageHash(deal)) === bytesKey(dealHash)
      )
    })
  if (!named) return false
  const payloads = deals.map((deal) => readDeal({ curve }, parties, deal))
  const commitments = payloads.flatMap((deal) => (deal === undefined ? [] : [deal.commitment]))
  if (commitments.length !== deals.length) return true
  const sums = combineDealings(curve, parties, outcome.dealings, commitments)
  return sums === undefined || sums.some((sum, k) => !equalBytes(sum, outcome.commitment[k] ?? new Uint8Array(0)))
}
