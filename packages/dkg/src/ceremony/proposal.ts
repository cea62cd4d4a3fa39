import { attempt, bytesKey, equalBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { type CeremonySpec, ceremonyId, memberAt, quorum } from './config.ts'
import { decodeDeal, decodePropose } from './messages.ts'
import { decodeOutcome, keygenKeyId, type Outcome, sumCommitments } from './outcome.ts'
import { messageHash, type SignedMessage } from './signed-message.ts'

/** What a PROPOSE whose signature holds says, taken by itself. */
export type ProposalReading =
  | { readonly kind: 'fresh'; readonly outcome: Outcome; readonly bytes: Uint8Array }
  /** No honest leader signs it: proof of guilt by itself (protocol 7, E5). */
  | { readonly kind: 'contradiction' }
  /** A re-proposal of a later view. */
  | { readonly kind: 'other' }

/** Reads a PROPOSE of a key generation and checks all that follows from its own bytes and X: view, ceremony, key id, size and members of QUAL. */
export function readPropose(curve: Curve, spec: CeremonySpec, propose: SignedMessage): ProposalReading {
  const { header } = propose
  const config = spec.newConfig
  const payload = attempt(() => decodePropose(config, propose.payload))
  if (payload?.mode === 're-propose' && header.view > 0) return { kind: 'other' }
  const outcome = payload?.mode === 'fresh' ? attempt(() => decodeOutcome(curve, config, payload.outcome)) : undefined
  const groupKey = outcome?.commitment[0]
  if (payload === undefined || outcome === undefined || groupKey === undefined) return { kind: 'contradiction' }
  const { dealings, sid, keyId } = outcome
  const consistent =
    outcome.view === header.view &&
    equalBytes(outcome.ceremony, ceremonyId(spec)) &&
    equalBytes(keyId, keygenKeyId(spec, groupKey, sid)) &&
    dealings.length >= quorum(config) &&
    dealings.every(({ dealer }) => memberAt(config, dealer) !== undefined)
  return consistent ? { kind: 'fresh', outcome, bytes: payload.outcome } : { kind: 'contradiction' }
}

/**
 * Whether A' is not the sum of the dealings that OUT names (protocol R4). Says nothing, so false, unless exactly those DEALs are given.
 * @param deals signed DEALs in the order of QUAL
 */
export function missums(curve: Curve, spec: CeremonySpec, outcome: Outcome, deals: readonly SignedMessage[]): boolean {
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
  const payloads = deals.map((deal) => attempt(() => decodeDeal(curve, spec.newConfig, deal.payload)))
  const commitments = payloads.flatMap((deal) => (deal === undefined ? [] : [deal.commitment]))
  if (commitments.length !== deals.length) return true
  const sums = sumCommitments(curve, commitments)
  return sums === undefined || sums.some((sum, k) => !equalBytes(sum, outcome.commitment[k] ?? new Uint8Array(0)))
}
