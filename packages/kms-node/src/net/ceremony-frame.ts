import { tkms } from '@tkms/proto'
import { netError } from './errors.ts'

/** One frame of `/tkms/ceremony/1.0.0` (proto/tkms/v1/ceremony.proto), its bytes copied out of the receive buffer. */
export type CeremonyFrame =
  /** `signed` = var body || signature (protocol 3); `ceremony` (32 bytes) only routes. */
  | { readonly type: 'message'; readonly ceremony: Uint8Array; readonly signed: Uint8Array }
  | {
      readonly type: 'fetch'
      readonly ceremony: Uint8Array
      readonly sid: Uint8Array
      readonly dealer: number
      readonly dealHash: Uint8Array
    }
  /** Canonical X. */
  | { readonly type: 'proposal'; readonly spec: Uint8Array }
  /** Canonical CERT. */
  | { readonly type: 'certificate'; readonly ceremony: Uint8Array; readonly certificate: Uint8Array }

export function encodeCeremonyFrame(frame: CeremonyFrame): Uint8Array {
  const { type, ...body } = frame
  return tkms.v1.CeremonyFrame.encode({ [type]: body }).finish()
}

/** @throws KmsError `bad-frame` when the bytes are no frame, or an id or hash has not 32 bytes */
export function decodeCeremonyFrame(bytes: Uint8Array): CeremonyFrame {
  const { message, fetch, proposal, certificate, body } = decodeOrRefuse(bytes)
  if (body === 'message' && message)
    return { type: 'message', ceremony: id32(message.ceremony), signed: copy(message.signed) }
  if (body === 'fetch' && fetch)
    return {
      type: 'fetch',
      ceremony: id32(fetch.ceremony),
      sid: id32(fetch.sid),
      dealer: fetch.dealer ?? 0,
      dealHash: id32(fetch.dealHash),
    }
  if (body === 'proposal' && proposal) return { type: 'proposal', spec: copy(proposal.spec) }
  if (body === 'certificate' && certificate)
    return { type: 'certificate', ceremony: id32(certificate.ceremony), certificate: copy(certificate.certificate) }
  throw netError('bad-frame', 'a ceremony frame has no known body')
}

function decodeOrRefuse(bytes: Uint8Array): tkms.v1.CeremonyFrame {
  try {
    return tkms.v1.CeremonyFrame.decode(bytes)
  } catch (cause) {
    throw netError('bad-frame', 'these bytes are not a ceremony frame', { cause })
  }
}

const copy = (bytes: Uint8Array | null | undefined): Uint8Array => Uint8Array.from(bytes ?? [])

function id32(bytes: Uint8Array | null | undefined): Uint8Array {
  if (bytes?.length !== 32) throw netError('bad-frame', 'an id in a ceremony frame has not 32 bytes')
  return copy(bytes)
}
