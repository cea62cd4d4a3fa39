/** Every way a caller can misuse this package. A peer's misbehaviour is never an exception: it is a `Fault` value. */
export const DKG_ERROR_CODES = [
  'bad-encoding',
  'bad-point',
  'bad-scalar',
  'bad-index',
  'bad-parameters',
  'bad-cluster-file',
  'bad-config',
  'bad-certificate',
  'degraded-certificate',
  'bad-proof',
  'bad-envelope',
  'bad-request',
  'bad-box',
  'duplicate-index',
  'identity-result',
  'mixed-sharings',
  'secret-destroyed',
  'self-check-failed',
  'too-few-partials',
  'too-large',
  'unsupported',
] as const

export type DkgErrorCode = (typeof DKG_ERROR_CODES)[number]

/** What an error may carry: public values only, never a secret and never another party's text. */
export type ErrorData = Readonly<Record<string, string | number | boolean | readonly number[] | readonly string[]>>

export interface KmsErrorOptions {
  readonly data?: ErrorData
  readonly cause?: unknown
  readonly retryable?: boolean
}

/**
 * The one error class of the project. Compare `code`, never `message`.
 * `retryable` says whether the same call may succeed later without anything being changed by the caller.
 */
export class KmsError<Code extends string = string> extends Error {
  readonly code: Code
  readonly data: ErrorData
  readonly retryable: boolean

  constructor(code: Code, message: string, options: KmsErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'KmsError'
    this.code = code
    this.data = options.data ?? {}
    this.retryable = options.retryable ?? false
  }
}

/** A misuse of this package. */
export function dkgError(code: DkgErrorCode, message: string, options?: KmsErrorOptions): KmsError<DkgErrorCode> {
  return new KmsError(code, message, options)
}
