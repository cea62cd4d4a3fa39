import {
  type Curve,
  type Envelope,
  type KmsError,
  openEnvelopeV1,
  openEnvelopeV2,
  type ParticipantIndex,
  type PointBytes,
} from '@tkms/dkg'
import { clientError, isKmsError } from './errors.ts'
import type { ItemResult } from './settle-items.ts'

/** s*K of a bare point. @throws KmsError where the item was refused: a request of one item that is, has failed before. */
export function pointOf(result: ItemResult | undefined): PointBytes {
  if (result?.kind === 'malformed') throw result.error
  if (result?.kind !== 'point') throw clientError('bad-envelope', 'no point was combined for this item')
  return result.point
}

/** @throws KmsError `bad-envelope` where it does not open, or the item was refused */
export function plaintextOf(curve: Curve, envelope: Envelope, result: ItemResult | undefined): Uint8Array {
  if (result?.kind === 'opened') return result.plaintext
  const point = pointOf(result)
  try {
    return envelope.version === 1 ? openEnvelopeV1(curve, envelope, point) : openEnvelopeV2(curve, envelope, point)
  } finally {
    point.fill(0)
  }
}

/** Too few of the nodes that were asked allow it: these refused. */
export interface RefusedItem {
  readonly refusedBy: readonly ParticipantIndex[]
}

/** @returns the plaintext, or why there is none */
export function attemptPlaintext(
  curve: Curve,
  envelope: Envelope,
  result: ItemResult | undefined,
): Uint8Array | KmsError | RefusedItem {
  if (result?.kind === 'refused') return { refusedBy: result.by }
  try {
    return plaintextOf(curve, envelope, result)
  } catch (error) {
    if (!isKmsError(error)) throw error
    return error
  }
}
