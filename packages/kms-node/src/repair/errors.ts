import { KmsError, type KmsErrorOptions } from '@tkms/dkg'

export type RepairErrorCode =
  | 'unknown-key'
  /** Only a member of the committee has a share to repair. */
  | 'not-a-member'
  /** The share is here and holds. */
  | 'share-present'
  /** No repair, or more than one, has this id. */
  | 'unknown-repair'
  /** Nothing is left to decide. */
  | 'repair-over'
  | 'unknown-node'
  /** A backup of this node was restored: others must tell it first what it promised since. */
  | 'restored'

/** What repairs throw at their operator. */
export const repairError = (
  code: RepairErrorCode,
  message: string,
  options?: KmsErrorOptions,
): KmsError<RepairErrorCode> => new KmsError(code, message, options)
