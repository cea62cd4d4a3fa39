import type { VerifyMessage } from '../primitives/ed25519.ts'
import { memberAt } from '../ceremony/config.ts'
import { SeedStream } from '../ceremony/seeds.ts'
import { attempt, equalBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { decodeScalar, ORDER } from '../primitives/scalar.ts'
import { Secret } from '../primitives/secret.ts'
import type { ParticipantIndex, PointBytes } from '../primitives/types.ts'
import { lagrangeCoefficients } from '../sharing/lagrange.ts'
import {
  type Contribution,
  contributionHead,
  CONTRIBUTION_TAG,
  decodeContribution,
  decodeRequest,
  repairId,
  type RepairRequest,
  type RepairSharing,
  REQUEST_TAG,
} from './messages.ts'
import { type SignedBody, verifySignedBody } from './signed-body.ts'

/** The equations of protocol 9. */

/**
 * The REQ in these bytes, when its r signed it and it names t members without r for exactly this sharing; else undefined.
 * Public data only.
 */
export function checkRequest(
  verify: VerifyMessage,
  sharing: RepairSharing,
  signed: SignedBody,
): RepairRequest | undefined {
  const request = attempt(() => decodeRequest(signed.body))
  if (request === undefined) return undefined
  const { config, keyId, sharingId } = sharing
  const { helpers, recoverer } = request
  const holds =
    equalBytes(request.keyId, keyId) &&
    equalBytes(request.sharingId, sharingId) &&
    helpers.length === config.t &&
    !helpers.includes(recoverer) &&
    helpers.every((helper) => memberAt(config, helper) !== undefined) &&
    verifySignedBody(verify, config, REQUEST_TAG, recoverer, signed)
  return holds ? request : undefined
}

/** l_i(r) over H: the factor of helper i. Never 0, since r is not in H. */
function factorOf({ helpers, recoverer }: RepairRequest, index: ParticipantIndex): bigint {
  const factor = lagrangeCoefficients(helpers, recoverer)[helpers.indexOf(index)]
  if (factor === undefined) throw new RangeError('only a helper has a factor')
  return factor
}

/** a + b mod N as a secret in 1..N-1; undefined when it is 0. */
export function addSecrets(curve: Curve, a: Secret, b: Secret, factor = 1n): Secret | undefined {
  const sum = new Secret(curve.mulAddSecret(factor, a, b))
  if (sum.use((bytes) => attempt(() => decodeScalar(bytes))) !== undefined) return sum
  sum.destroy()
  return undefined
}

/** The sum of at least one secret; undefined when it, or a partial sum, is 0. The terms are not destroyed. */
export function sumSecrets(curve: Curve, terms: readonly Secret[]): Secret | undefined {
  const [first, ...rest] = terms
  let total = first && first.use((bytes) => Secret.copyOf(bytes))
  for (const term of rest) {
    const next = total && addSecrets(curve, term, total)
    total?.destroy()
    total = next
  }
  return total
}

/**
 * Step 1: w_i = l_i(r)*s_i split into d_ik, one for each helper, random with sum w_i, none 0 (drawn again as a whole otherwise).
 * Destroys the seed, not the share.
 */
export function splitContribution(
  curve: Curve,
  request: RepairRequest,
  self: ParticipantIndex,
  share: Secret,
  seed: Secret,
): ReadonlyMap<ParticipantIndex, Secret> {
  const stream = new SeedStream(seed, 'repair')
  const factor = factorOf(request, self)
  for (;;) {
    const drawn = request.helpers.slice(1).map(() => stream.scalar())
    const last = remainder(curve, factor, share, drawn)
    if (last === undefined) {
      for (const part of drawn) part.destroy()
      continue
    }
    seed.destroy()
    const parts = [...drawn, last]
    return new Map(request.helpers.flatMap((helper, at) => (parts[at] ? [[helper, parts[at]] as const] : [])))
  }
}

/** factor * share - sum(drawn). */
function remainder(curve: Curve, factor: bigint, share: Secret, drawn: readonly Secret[]): Secret | undefined {
  const sum = sumSecrets(curve, drawn)
  const negated = sum && addSecrets(curve, sum, sum, ORDER - 2n)
  const last = negated && addSecrets(curve, share, negated, factor)
  sum?.destroy()
  negated?.destroy()
  return last
}

/** What an M1 that its helper signed turns out to be. */
export type ContributionCheck =
  | { readonly kind: 'good'; readonly contribution: Contribution }
  /** Signed by helper i for this rid, and wrong: proof of guilt (E7). */
  | { readonly kind: 'bad'; readonly from: ParticipantIndex }
  /** Not signed by a helper of this request: nobody is named. */
  | { readonly kind: 'foreign' }

/**
 * Steps 1 to 3, "everybody checks": exactly one D_ik for each helper, and sum_k D_ik == l_i(r)*Y_i. Public data only.
 * @param request checked by `checkRequest`
 */
export function checkContribution(
  curve: Curve,
  verify: VerifyMessage,
  sharing: RepairSharing,
  request: { readonly decoded: RepairRequest; readonly body: Uint8Array },
  signed: SignedBody,
): ContributionCheck {
  const named = contributionHead(signed.body)
  const { helpers } = request.decoded
  const from = helpers.find((helper) => helper === named?.from)
  if (named === undefined || from === undefined || !equalBytes(named.rid, repairId(request.body)))
    return { kind: 'foreign' }
  if (!verifySignedBody(verify, sharing.config, CONTRIBUTION_TAG, from, signed)) return { kind: 'foreign' }
  const contribution = attempt(() => decodeContribution(curve, signed.body))
  const whole =
    contribution !== undefined &&
    contribution.parts.length === helpers.length &&
    contribution.parts.every(({ helper }, at) => helper === helpers[at])
  if (!whole) return { kind: 'bad', from }
  const sum = curve.sum(contribution.parts.map(({ point }) => point))
  const point = curve.evaluate(sharing.commitment, from)
  const expected = point && curve.linearCombination([{ scalar: factorOf(request.decoded, from), point }])
  const holds = sum !== undefined && expected !== undefined && equalBytes(sum, expected)
  return holds ? { kind: 'good', contribution } : { kind: 'bad', from }
}

/** D_ik of one M1. */
export function pointFor(contribution: Contribution, helper: ParticipantIndex): PointBytes | undefined {
  return contribution.parts.find((part) => part.helper === helper)?.point
}

/** Whether the secret is a scalar whose product with G is `point` (steps 2 and 3). */
export function opensTo(curve: Curve, secret: Secret, point: PointBytes | undefined): boolean {
  const scalar = secret.use((bytes) => attempt(() => decodeScalar(bytes)))
  return scalar !== undefined && point !== undefined && equalBytes(curve.mulBaseSecret(secret), point)
}

/** sum_i D_ik over these M1s: what sigma_k must open (step 3). */
export function sumPointFor(
  curve: Curve,
  contributions: readonly Contribution[],
  helper: ParticipantIndex,
): PointBytes | undefined {
  return curve.sum(contributions.flatMap((contribution) => pointFor(contribution, helper) ?? []))
}
