import { KmsError, type KmsErrorOptions } from '@tkms/dkg'

export type StoreErrorCode =
  /** There is no store in this directory. */
  | 'store-missing'
  /** There is one already. */
  | 'store-exists'
  /** Another process holds the directory. */
  | 'store-locked'
  /** A file is damaged, missing, or belongs elsewhere. */
  | 'store-corrupt'
  /** The store is older than the sealer's counter says, or the counter is gone. */
  | 'rollback-detected'
  /** Others may read a file or directory of the store. */
  | 'store-permissions'
  /** A commit ended in an unknown state: reopen. */
  | 'store-failed'
  /** The store was closed. */
  | 'store-closed'
  /** The record is larger than the store takes. */
  | 'record-too-large'
  | 'store-io'
  | 'disk-full'

/** What the record store throws. */
export function storeError(code: StoreErrorCode, message: string, options?: KmsErrorOptions): KmsError<StoreErrorCode> {
  return new KmsError(code, message, options)
}
