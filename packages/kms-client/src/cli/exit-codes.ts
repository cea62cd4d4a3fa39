import { isKmsError } from '../errors.ts'

/** What `tkms` exits with. */
export const EXIT_CODES = {
  ok: 0,
  /** Anything not named below: a bug, or a file system that fails. */
  failure: 1,
  /** Wrong options, unreadable or malformed input, an output that exists. */
  usage: 2,
  /** Too few nodes answered. */
  quorum: 3,
  /** The cluster file, its pin or a certificate cannot be trusted. */
  trust: 4,
  /** Interrupted. */
  cancelled: 130,
} as const

const BY_CODE: Readonly<Record<string, number>> = {
  'quorum-not-reached': EXIT_CODES.quorum,
  'bad-cluster-file': EXIT_CODES.trust,
  'bad-certificate': EXIT_CODES.trust,
  'degraded-certificate': EXIT_CODES.trust,
  'bad-config': EXIT_CODES.trust,
  'pin-mismatch': EXIT_CODES.trust,
  'cluster-unreachable': EXIT_CODES.trust,
  cancelled: EXIT_CODES.cancelled,
}

/** A KmsError is the caller's to mend unless it is listed; anything else is a failure of ours. */
export const exitCodeOf = (error: unknown): number =>
  isKmsError(error) ? (BY_CODE[error.code] ?? EXIT_CODES.usage) : EXIT_CODES.failure
