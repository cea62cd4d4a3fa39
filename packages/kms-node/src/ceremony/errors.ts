import { KmsError, type KmsErrorOptions } from '@tkms/dkg'

export type CeremonyErrorCode =
  /** The process that runs the engine ended by itself, again and again. */
  | 'engine-crashed'
  /** No answer from it in time. */
  | 'engine-timeout'
  /** No proposal or ceremony with this id. */
  | 'unknown-ceremony'
  /** Another X was approved for this slot and attempt. */
  | 'slot-taken'
  /** Its `notAfter` has passed. */
  | 'expired'
  /** Not a proposal for this cluster as this node knows it. */
  | 'bad-proposal'
  /** This key and generation exists. */
  | 'key-exists'
  /** Too many ceremonies under way. */
  | 'too-many-ceremonies'
  /** Nothing begins while the node stops. */
  | 'stopping'

/** What ceremonies throw at their operator. */
export function ceremonyError(
  code: CeremonyErrorCode,
  message: string,
  options?: KmsErrorOptions,
): KmsError<CeremonyErrorCode> {
  return new KmsError(code, message, options)
}
