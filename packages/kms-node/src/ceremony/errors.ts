import { KmsError, type KmsErrorOptions, type SlotRefusal } from '@tkms/dkg'

export type CeremonyErrorCode =
  /** The process that runs the engine ended by itself, again and again. */
  | 'engine-crashed'
  /** No answer from it in time. */
  | 'engine-timeout'
  /** No proposal or ceremony with this id. */
  | 'unknown-ceremony'
  /** The rules of the slot say no (protocol 3). */
  | `slot-${SlotRefusal}`
  /** Its `notAfter` has passed. */
  | 'expired'
  /** Not a proposal for this cluster as this node knows it. */
  | 'bad-proposal'
  /** It continues a sharing that this node does not know. */
  | 'unknown-sharing'
  | 'unknown-key'
  /** This node signed an order to destroy the key. */
  | 'key-closed'
  | 'unknown-node'
  | 'already-a-member'
  /** Only a member of the committee can do this. */
  | 'not-a-member'
  /** Fewer nodes than before would be enough to decrypt: the operator must say so. */
  | 'lowers-threshold'
  /** An earlier attempt is still under way. */
  | 'attempt-open'
  /** It holds or may get its certificate: nothing can be given up any more. */
  | 'abandon-refused'
  /** The name of this key belongs to another committee. */
  | 'other-committee'
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
