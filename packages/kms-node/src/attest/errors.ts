import { KmsError, type KmsErrorOptions } from '@tkms/dkg'

export type AttestErrorCode =
  /** The platform gave no quote: no such device, no answer in time, or one that is none. */
  | 'attestation-unavailable'
  /** A file of the attestation settings (the simulated platform, the root, a piece of collateral) is not what it should be. */
  | 'bad-attestation-file'
  /** There is no collateral for a quote: neither the cache nor the service has it. */
  | 'collateral-unavailable'

export const attestError = (
  code: AttestErrorCode,
  message: string,
  options?: KmsErrorOptions,
): KmsError<AttestErrorCode> => new KmsError(code, message, options)
