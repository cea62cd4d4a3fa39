import { openScalar, secretScalar, modOrder } from '../primitives/scalar.ts'
import type { Secret } from '../primitives/secret.ts'
import { verifyShare } from '../sharing/feldman.ts'
import type { Session } from './join.ts'
import type { DealingRef } from './messages.ts'
import { combineDealings, dealerWeights, isOutcomeOf, keyIdOf, type Outcome } from './outcome.ts'
import { equalBytes } from '../primitives/codec.ts'
import type { Turn } from './turn.ts'
import type { Verdict } from './state.ts'

/**
 * OUT of a QUAL whose dealings are all good here (protocol R4): A'[k] = sum A_i[k], in a RESHARE weighted by Lagrange at 0.
 * @returns undefined when QUAL is too small, a dealing is missing or bad here, its dealer is proven faulty, or a sum is the identity
 */
export function computeOutcome(turn: Turn, session: Session, qualified: readonly DealingRef[]): Outcome | undefined {
  const { state, config, ports, parties } = turn
  if (qualified.length < parties.minDealers || qualified.some(({ dealer }) => state.faults.has(dealer)))
    return undefined
  const verdicts = qualified.map((ref) => goodVerdict(turn, ref))
  const commitments = verdicts.flatMap((verdict) => (verdict === undefined ? [] : [verdict.deal.commitment]))
  if (commitments.length !== qualified.length) return undefined
  const commitment = combineDealings(ports.curve, parties, qualified, commitments)
  const groupKey = commitment?.[0]
  if (commitment === undefined || groupKey === undefined) return undefined
  const { ceremony, view } = state
  const keyId = keyIdOf(parties, groupKey, session.sid)
  const outcome = { ceremony, view, sid: session.sid, keyId, t: config.t, commitment, dealings: qualified }
  return isOutcomeOf(parties, outcome) ? outcome : undefined
}

function goodVerdict(turn: Turn, ref: DealingRef): Extract<Verdict, { kind: 'good' }> | undefined {
  const verdict = turn.state.verdicts.get(ref.dealer)
  return verdict?.kind === 'good' && equalBytes(verdict.dealHash, ref.dealHash) ? verdict : undefined
}

/** s_j = sum of weight_i * f_i(j) over QUAL, checked against A' (protocol R4). Undefined when this node lacks one, or the sum is zero or wrong. */
export function combineDealtShares(turn: Turn, outcome: Outcome): Secret | undefined {
  const shares = outcome.dealings.flatMap((ref) => goodVerdict(turn, ref)?.share ?? [])
  return shares.length === outcome.dealings.length ? sumShares(turn, outcome, shares) : undefined
}

/** The weighted sum of these dealt shares, in the order of QUAL, as this node's share of `outcome`; undefined unless it verifies. */
export function sumShares(turn: Turn, outcome: Outcome, shares: readonly Secret[]): Secret | undefined {
  const weights = dealerWeights(turn.parties, outcome.dealings)
  const sum = modOrder(shares.reduce((total, share, at) => total + (weights[at] ?? 0n) * openScalar(share), 0n))
  if (sum === 0n) return undefined
  const secret = secretScalar(sum)
  if (verifyShare(turn.ports.curve, outcome.commitment, turn.self, secret)) return secret
  secret.destroy()
  return undefined
}
