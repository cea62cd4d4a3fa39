import type { RefusalCode } from '@tkms/dkg'

/** What an HTTP answer can say went wrong: the refusals of the pipeline and what only HTTP knows. */
export type HttpErrorCode =
  | RefusalCode
  | 'not-found'
  | 'method-not-allowed'
  | 'unsupported-media-type'
  | 'rate-limited'
  | 'timeout'
  | 'headers-too-large'
  | 'no-attestation'
  | 'attestation-unavailable'

/** The only facts that an error carries beside its code: about this node, or about the request itself. */
export interface ErrorDetails {
  /** With `clock-skew`. */
  readonly skewSeconds?: number
  /** With `not-ready`: fixed words. */
  readonly problems?: readonly string[]
}

/** An error on the wire. */
export interface ErrorBody {
  readonly error: {
    readonly code: string
    readonly message: string
    /** 0x and 32 hex digits. */
    readonly requestId: string
    readonly retryable: boolean
    readonly details: ErrorDetails
  }
}

interface HttpErrorKind {
  readonly status: number
  /** Our own fixed sentence: no caught error's text is ever sent. */
  readonly message: string
  readonly retryable: boolean
}

const kind = (status: number, message: string, retryable = false): HttpErrorKind => ({ status, message, retryable })

export const HTTP_ERRORS: Readonly<Record<HttpErrorCode, HttpErrorKind>> = {
  malformed: kind(
    400,
    'The body is not a well-formed authorization, or a parameter in the path or the query is wrong: see /openapi.json.',
  ),
  'too-large': kind(413, 'The request is too large.'),
  busy: kind(503, 'The node has too many requests under way.', true),
  'wrong-cluster': kind(404, 'The request is for another cluster.'),
  'unknown-key': kind(404, 'This node does not serve the key.'),
  'wrong-purpose': kind(403, 'The key is for another purpose.'),
  'wrong-sharing': kind(409, 'This node does not know the sharing the request names.'),
  superseded: kind(409, 'The sharing the request names was left behind: fetch the latest certificate of the key.'),
  'no-share': kind(503, 'This node waits for its share of the key to be repaired.', true),
  destroyed: kind(410, 'The key was destroyed.'),
  'bad-point': kind(400, 'A point of the request is not a compressed curve point of 33 bytes.'),
  'clock-skew': kind(400, "The node's clock is outside the time window of the request."),
  'bad-signature': kind(401, 'The signature of the request does not verify.'),
  'bad-session': kind(401, 'The session of the request is not valid, or does not cover the request.'),
  'not-allowed': kind(403, "The node's policy does not allow the request."),
  'weak-rsa-key': kind(
    400,
    'The RSA key of the request is refused: 2048 to 8192 bits, exponent 65537, no known weakness.',
  ),
  'bad-header-proof': kind(400, 'The header proof of the envelope does not verify.'),
  cancelled: kind(503, 'The request was cancelled.', true),
  internal: kind(500, 'The node failed to answer.', true),
  replayed: kind(409, 'The request was answered before: sign a new one.'),
  'audit-unavailable': kind(503, 'The node cannot record what it would release, so it releases nothing.', true),
  'policy-unavailable': kind(503, "A rule of the node's policy cannot be decided now.", true),
  'not-found': kind(404, 'There is nothing here.'),
  'method-not-allowed': kind(405, 'The method is not allowed here.'),
  'unsupported-media-type': kind(415, 'The body must be application/json.'),
  'rate-limited': kind(429, 'Too many requests from this address.', true),
  timeout: kind(408, 'The request took too long to arrive.', true),
  'headers-too-large': kind(431, 'The header of the request is too large.'),
  'not-ready': kind(503, 'The node is not ready.', true),
  'no-attestation': kind(503, 'This node does not prove what runs on it.'),
  'attestation-unavailable': kind(503, 'The platform gave the node no quote.', true),
}

export function errorBody(code: HttpErrorCode, requestId: string, details: ErrorDetails = {}): ErrorBody {
  const { message, retryable } = HTTP_ERRORS[code]
  return { error: { code, message, requestId, retryable, details } }
}
