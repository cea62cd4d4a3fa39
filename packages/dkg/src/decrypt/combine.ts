import { dkgError } from '../errors.ts'
import { equalBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { invertScalar, modOrder } from '../primitives/scalar.ts'
import type { ParticipantIndex, PointBytes, SharingId } from '../primitives/types.ts'
import { lagrangeCoefficients, type LagrangeWeights, lagrangeWeights } from '../sharing/lagrange.ts'

export interface IndexedPartial {
  readonly index: ParticipantIndex
  readonly D: PointBytes
}

/**
 * D = sum l_i * D_i, Lagrange at 0 over exactly these indices (protocol 10.1): s*K when they are at least t good partials of one sharing.
 * Only a committing check or the proofs say whether they were. Public inputs, seen from the caller: variable time is fine.
 * @throws KmsError `too-few-partials` for none, `duplicate-index`, `identity-result`
 */
export function combinePartials(curve: Curve, partials: readonly IndexedPartial[]): PointBytes {
  if (partials.length === 0) throw dkgError('too-few-partials', 'nothing to combine', { data: { got: 0 } })
  const indices = partials.map(({ index }) => index)
  const { weights, divisor } = weightsOf(indices)
  const terms = partials.map(({ D }, at) => ({ scalar: modOrder(weights[at] ?? 0n), point: D }))
  const multiple = curve.linearCombination(terms)
  const result = multiple === undefined || divisor === 1n ? multiple : divided(curve, multiple, divisor)
  if (result === undefined) throw dkgError('identity-result', 'the partials combine to the identity')
  return result
}

/** The point over `divisor`. The multiple, of which everybody can compute the result, is wiped. */
function divided(curve: Curve, multiple: PointBytes, divisor: bigint): PointBytes | undefined {
  try {
    return curve.linearCombination([{ scalar: invertScalar(divisor), point: multiple }])
  } finally {
    multiple.fill(0)
  }
}

/** Weights of a committee of 64 have at most half the bits of coefficients; of larger indices they may be longer. */
const MAX_WEIGHTED_INDEX = 64
const MAX_REMEMBERED = 256
/** The same nodes answer again and again, and for every item of a batch. */
const remembered = new Map<string, LagrangeWeights>()

function weightsOf(indices: readonly ParticipantIndex[]): LagrangeWeights {
  const name = indices.join()
  const known = remembered.get(name)
  if (known !== undefined) return known
  const weights = indices.every((index) => index <= MAX_WEIGHTED_INDEX)
    ? lagrangeWeights(indices)
    : { weights: lagrangeCoefficients(indices), divisor: 1n }
  if (remembered.size === MAX_REMEMBERED) remembered.clear()
  remembered.set(name, weights)
  return weights
}

/** The sharing that partials belong to, as its certificate says. */
export interface Sharing {
  readonly sharingId: SharingId
  readonly t: number
  readonly config: { readonly members: readonly { readonly index: ParticipantIndex }[] }
}

/**
 * `combinePartials` over the first t, after the checks that need the certificate: enough of them, all of this sharing, all from its roster.
 * @throws KmsError `too-few-partials`, `mixed-sharings`, `bad-index`, `duplicate-index`, `identity-result`
 */
export function combineSharing(
  curve: Curve,
  sharing: Sharing,
  partials: readonly (IndexedPartial & { readonly sharingId: SharingId })[],
): PointBytes {
  if (partials.some(({ sharingId }) => !equalBytes(sharingId, sharing.sharingId)))
    throw dkgError('mixed-sharings', 'a partial belongs to another sharing of the key')
  const roster = new Set<number>(sharing.config.members.map(({ index }) => index))
  const stranger = partials.find(({ index }) => !roster.has(index))
  if (stranger !== undefined)
    throw dkgError('bad-index', 'a partial comes from outside the roster', { data: { index: stranger.index } })
  if (new Set(partials.map(({ index }) => index)).size !== partials.length)
    throw dkgError('duplicate-index', 'one node gave two partials')
  if (partials.length < sharing.t)
    throw dkgError('too-few-partials', `${partials.length} partials of ${sharing.t} needed`, {
      data: { got: partials.length, needed: sharing.t },
    })
  return combinePartials(curve, partials.slice(0, sharing.t))
}
