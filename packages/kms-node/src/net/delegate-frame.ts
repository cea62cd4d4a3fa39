import type { Answer, Authorization, RefusalCode } from '@tkms/dkg'
import { isBearerToken, refusalStatus } from '@tkms/dkg'
import { tkms } from '@tkms/proto'
import { netError } from './errors.ts'

/** One frame from a client of `/tkms/delegate/1.0.0` (proto/tkms/v1/delegate.proto). */
export type DelegateCall =
  | {
      readonly type: 'request'
      readonly correlationId: number
      readonly authorization: Authorization
      /** A bearer token, well-formed. */
      readonly token?: string
    }
  | { readonly type: 'cancel'; readonly correlationId: number }

/** What the pipeline says to one request. */
export type DelegationOutcome =
  | { readonly kind: 'answer'; readonly answer: Answer }
  | { readonly kind: 'refusal'; readonly code: RefusalCode; readonly skewSeconds?: number }

/** Bytes copied out of the receive buffer. @throws KmsError `bad-frame` */
export function decodeDelegateCall(bytes: Uint8Array): DelegateCall {
  const { correlationId, request, cancel, token } = decodeOrRefuse(bytes)
  if (token && !isBearerToken(token)) throw netError('bad-frame', 'the token of a delegation frame is not one')
  if (request)
    return {
      type: 'request',
      correlationId,
      authorization: {
        payload: Uint8Array.from(request.payload ?? []),
        signature: Uint8Array.from(request.signature ?? []),
        publicKeyId: request.publicKeyId ?? '',
      },
      ...(token && { token }),
    }
  if (cancel) return { type: 'cancel', correlationId }
  throw netError('bad-frame', 'a delegation frame has no known body')
}

function decodeOrRefuse(bytes: Uint8Array): tkms.v1.DelegateCall {
  try {
    return tkms.v1.DelegateCall.decode(bytes)
  } catch (cause) {
    throw netError('bad-frame', 'these bytes are not a delegation frame', { cause })
  }
}

/** With its length before it. A status and numbers only: no text of ours or of anybody else crosses the wire. */
export function encodeDelegateReply(correlationId: number, outcome: DelegationOutcome): Uint8Array {
  return tkms.v1.DelegateReply.encode({ correlationId, ...replyBody(outcome) })
    .ldelim()
    .finish()
}

function replyBody(outcome: DelegationOutcome): tkms.v1.DelegateReply.$Properties {
  if (outcome.kind === 'refusal')
    return { refusal: { status: refusalStatus(outcome.code), skewSeconds: outcome.skewSeconds ?? 0 } }
  const { index, sharingId, requestId, box, signature } = outcome.answer
  return { answer: { index, sharingId, requestId, box, signature } }
}
