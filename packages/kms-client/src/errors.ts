import { KmsError, type KmsErrorOptions, type ParticipantIndex, type RefusalCode } from '@tkms/dkg'

/** Everything a call of this package can fail with, beside `quorum-not-reached` (a `QuorumError`) and the codes of @tkms/dkg. */
export const KMS_CLIENT_ERROR_CODES = [
  'bad-argument',
  'cluster-unreachable',
  'pin-mismatch',
  'unknown-key',
  'ambiguous-key',
  'no-signer',
  'foreign-envelope',
  'bad-envelope',
  'cancelled',
  'closed',
] as const

export type KmsClientErrorCode = (typeof KMS_CLIENT_ERROR_CODES)[number]

export type KmsClientError = KmsError<KmsClientErrorCode>

/** Narrows to an error whose `code` can be compared. */
export const isKmsError = (error: unknown): error is KmsError => error instanceof KmsError

/** An error of this package: own words, public values only. */
export function clientError(code: KmsClientErrorCode, message: string, options?: KmsErrorOptions): KmsClientError {
  return new KmsError(code, message, options)
}

/** A key that is not among these, the names of those there are. */
export const noSuchKey = (names: readonly string[]): KmsClientError =>
  clientError(
    'unknown-key',
    `the cluster has no certificate of this key that could be found, only of ${names.join(', ') || 'no key'}: check the name, or take the cluster.json of a node that has made it`,
    { data: { keys: names } },
  )

/** None was named, and these are the names to choose from. */
export const severalKeys = (names: readonly string[]): KmsClientError =>
  clientError('ambiguous-key', `the cluster has several keys, name one of them: ${names.join(', ')}`, {
    data: { keys: names },
  })

/**
 * Why one node gave nothing usable. A refusal keeps the node's own code; the rest is found out here:
 * - `unreachable`, `timed-out`: no answer.
 * - `not-needed`: no longer waited for, because the outcome was already decided.
 * - `bad-reply`: bytes that are not an answer, or an answer about another request, sharing or node.
 * - `bad-node-signature`: the answer is not signed by the key the roster lists.
 * - `bad-box`: our RSA key does not open the box, or its content is not a partial decryption.
 * - `bad-partial`: signed and opened, but its proof fails against the certificate. Provable: `evidence` is set (protocol 7, E6).
 */
export const OWN_FAILURE_CODES = [
  'unreachable',
  'timed-out',
  'not-needed',
  'bad-reply',
  'bad-node-signature',
  'bad-box',
  'bad-partial',
] as const

export type NodeFailureCode = RefusalCode | (typeof OWN_FAILURE_CODES)[number]

/** The failures that only a node can cause which breaks the protocol. */
const MISBEHAVIOUR: ReadonlySet<NodeFailureCode> = new Set([
  'bad-reply',
  'bad-node-signature',
  'bad-box',
  'bad-partial',
])

/** One node's cause, as a value. */
export interface NodeFailure {
  readonly index: ParticipantIndex
  readonly name: string
  readonly code: NodeFailureCode
  /** One sentence of our own; never the node's text. */
  readonly detail: string
  /** Seconds the node's clock is ahead of the request's window (negative: behind); only with `clock-skew`. */
  readonly skewSeconds?: number
  /** Only with `bad-partial`: bytes that `verifyEvidence` of @tkms/dkg and `kms-node evidence verify` judge by the pins alone (protocol 7, E6). */
  readonly evidence?: Uint8Array
}

/** Whether this failure shows that the node breaks the protocol, not only that it is absent or says no. */
export const isMisbehaviour = (failure: NodeFailure): boolean => MISBEHAVIOUR.has(failure.code)

const TRANSIENT: ReadonlySet<NodeFailureCode> = new Set([
  'unreachable',
  'timed-out',
  'busy',
  'not-needed',
  'internal',
  'not-ready',
  'no-share',
  'wrong-sharing',
  'audit-unavailable',
  'policy-unavailable',
])

/** Carries a NodeFailure from where it is found to where the quorum is counted. Never leaves this package. */
export class NodeFailureError extends Error {
  readonly failure: NodeFailure

  constructor(failure: NodeFailure, cause?: unknown) {
    super(failure.detail, { cause })
    this.name = 'NodeFailureError'
    this.failure = failure
  }
}

/** Fewer than `needed` verified answers: one typed cause per node that was asked, in roster order. */
export class QuorumError extends KmsError<'quorum-not-reached'> {
  readonly needed: number
  readonly got: number
  readonly causes: readonly NodeFailure[]

  constructor(result: { readonly needed: number; readonly got: number; readonly causes: readonly NodeFailure[] }) {
    const causes = result.causes.toSorted((left, right) => left.index - right.index)
    const waiting = causes.filter(({ code }) => code === 'not-needed').length
    const failed = causes.filter(({ code }) => code !== 'not-needed')
    const listed = failed.map((cause) => `${cause.name} (${cause.index}): ${cause.code}`).join(', ')
    const reached = waiting === 0 ? `${result.got}` : `at most ${result.got + waiting}`
    super('quorum-not-reached', `${reached} of the ${result.needed} needed answers; ${listed}`, {
      data: {
        needed: result.needed,
        got: result.got,
        causes: causes.map((cause) => `${cause.index}:${cause.code}`),
      },
      retryable: result.got + causes.filter((cause) => TRANSIENT.has(cause.code)).length >= result.needed,
    })
    this.name = 'QuorumError'
    this.needed = result.needed
    this.got = result.got
    this.causes = causes
  }
}

/** @throws KmsError `cancelled` when the signal has fired; the caller's own reason is the cause */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw clientError('cancelled', 'the caller cancelled', { cause: signal.reason })
}
