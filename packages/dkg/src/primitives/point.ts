import { dkgError } from '../errors.ts'
import type { Curve } from './curve.ts'
import type { ClusterId, ParticipantIndex, PointBytes } from './types.ts'

export const POINT_BYTES = 33

/**
 * Strict `P` (protocol 3): 33 bytes, prefix 02 or 03, x < p, on the curve, never the identity.
 * The length and the prefix are checked before anything is parsed (noble also accepts 65 bytes).
 * @throws KmsError `bad-point`
 */
export function decodePoint(curve: Curve, bytes: Uint8Array, field = 'point'): PointBytes {
  if (bytes.length !== POINT_BYTES || (bytes[0] !== 2 && bytes[0] !== 3) || !curve.isPoint(bytes))
    throw dkgError('bad-point', `${field} is not a compressed curve point of 33 bytes`, { data: { field } })
  return bytes as PointBytes
}

/**
 * A participant index: u16, 1..65535.
 * @throws KmsError `bad-index`
 */
export function participantIndex(value: number): ParticipantIndex {
  if (!Number.isInteger(value) || value < 1 || value > 0xffff)
    throw dkgError('bad-index', 'a participant index lies in 1..65535', { data: { value } })
  return value as ParticipantIndex
}

/** @throws KmsError `bad-encoding` unless there are exactly 32 bytes */
export function id32<T extends Uint8Array = ClusterId>(bytes: Uint8Array, field: string): T {
  if (bytes.length !== 32) throw dkgError('bad-encoding', `${field} has 32 bytes`, { data: { field } })
  return bytes as T
}
