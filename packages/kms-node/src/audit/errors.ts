import { KmsError, type KmsErrorOptions } from '@tkms/dkg'

export type AuditErrorCode =
  /** The log is not the one that this node wrote: changed, cut, replaced, or put back from a copy. `data.reason`, `data.at`. */
  | 'audit-broken'
  /** A loss was to be accepted, and nothing is lost. */
  | 'audit-intact'
  /** The file of the log cannot be read or written. */
  | 'audit-io'
  /** Records are asked for, or given up, that the log does not have. `data.count`. */
  | 'bad-range'
  | 'disk-full'

export const auditError = (
  code: AuditErrorCode,
  message: string,
  options?: KmsErrorOptions,
): KmsError<AuditErrorCode> => new KmsError(code, message, options)

/** In which way a log is not what it should be. */
export type AuditFlaw =
  /** There is no file, but the node has an anchor of one. */
  | 'missing'
  /** There are records, but the node has no anchor of them. */
  | 'no-anchor'
  /** No database of ours, or a damaged one. */
  | 'damaged'
  /** It ends before what was anchored or signed. */
  | 'truncated'
  /** What was anchored or signed is not what is there. */
  | 'different'
  /** A record does not follow from the one before it: changed, removed or moved. */
  | 'chain'
  /** What a record says is not readable. */
  | 'unreadable'
  /** Its end, or where it begins, was not written with this node's key: something was put in behind the anchor, or the first part cut off. */
  | 'tail'
  /** A head of this log does not verify. */
  | 'signature'

/** @param at sequence number of the first record that is not as it should be */
export const brokenLog = (
  reason: AuditFlaw,
  message: string,
  details: { readonly at?: number; readonly cause?: unknown } = {},
): KmsError<AuditErrorCode> =>
  auditError('audit-broken', message, {
    cause: details.cause,
    data: { reason, ...(details.at !== undefined && { at: details.at }) },
  })
