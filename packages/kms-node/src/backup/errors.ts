import { KmsError, type KmsErrorOptions } from '@tkms/dkg'

export type BackupErrorCode =
  /** No backup, or one that was cut short or changed. */
  | 'backup-damaged'
  /** Written by another version of this program. */
  | 'backup-version'
  /** Whole, but what is in it does not fit together: the message names every check that failed. */
  | 'backup-unsound'
  /** The cluster, or a newer backup, is past what is in it. */
  | 'backup-outdated'
  /** Of another cluster, or of another node, than the one meant. */
  | 'backup-elsewhere'
  /** None of the identities opens it. */
  | 'wrong-identity'
  | 'identity-unreadable'
  | 'bad-recipient'
  /** The data directory to restore into exists. */
  | 'directory-exists'
  | 'cannot-read'
  | 'cannot-write'
  | 'output-exists'
  | 'unsafe-permissions'
  | 'too-large'

/** What backing up and restoring throw. */
export const backupError = (
  code: BackupErrorCode,
  message: string,
  options?: KmsErrorOptions,
): KmsError<BackupErrorCode> => new KmsError(code, message, options)
