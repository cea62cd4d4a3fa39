import { tkms } from '@tkms/proto'
import { MAX_QUOTE_BYTES } from '../attest/quote-bytes.ts'
import { netError } from './errors.ts'

/** What a node says of itself when it is asked to prove what runs there. */
export interface AttestReply {
  /** Undefined where the node has none. */
  readonly quote: Uint8Array | undefined
  /** 32 bytes. */
  readonly certificatesHash: Uint8Array
}

export const ATTEST_NONCE_BYTES = 32
const HASH_BYTES = 32
/** A quote, a hash and protobuf's tags. */
export const MAX_ATTEST_FRAME_BYTES: number = MAX_QUOTE_BYTES + 64

/** 0: accepted; others are the refused peer's to know, and no more than a number. */
export const MAX_STATUS = 255

export const encodeAttestRequest = (nonce: Uint8Array): Uint8Array => tkms.v1.AttestRequest.encode({ nonce }).finish()

/** @returns the nonce, 32 bytes @throws KmsError `bad-frame` */
export const decodeAttestRequest = (bytes: Uint8Array): Uint8Array =>
  exactly(ATTEST_NONCE_BYTES, decodeOrRefuse(() => tkms.v1.AttestRequest.decode(bytes)).nonce)

export const encodeAttestReply = ({ quote, certificatesHash }: AttestReply): Uint8Array =>
  tkms.v1.AttestReply.encode({ ...(quote && { quote }), certificatesHash }).finish()

/** @throws KmsError `bad-frame` */
export function decodeAttestReply(bytes: Uint8Array): AttestReply {
  const { quote, certificatesHash } = decodeOrRefuse(() => tkms.v1.AttestReply.decode(bytes))
  const length = quote?.length ?? 0
  if (length > MAX_QUOTE_BYTES) throw netError('bad-frame', `a quote has at most ${MAX_QUOTE_BYTES} bytes`)
  return {
    quote: quote && length > 0 ? Uint8Array.from(quote) : undefined,
    certificatesHash: exactly(HASH_BYTES, certificatesHash),
  }
}

export const encodeAttestVerdict = (status: number): Uint8Array => tkms.v1.AttestVerdict.encode({ status }).finish()

/** @returns 0..255 @throws KmsError `bad-frame` */
export function decodeAttestVerdict(bytes: Uint8Array): number {
  const status = decodeOrRefuse(() => tkms.v1.AttestVerdict.decode(bytes)).status ?? 0
  if (status > MAX_STATUS) throw netError('bad-frame', 'a verdict is a number up to 255')
  return status
}

function decodeOrRefuse<Message>(decode: () => Message): Message {
  try {
    return decode()
  } catch (cause) {
    throw netError('bad-frame', 'these bytes are not an attest frame', { cause })
  }
}

function exactly(length: number, bytes: Uint8Array | null | undefined): Uint8Array {
  if (bytes?.length !== length) throw netError('bad-frame', `a field of an attest frame has not ${length} bytes`)
  return Uint8Array.from(bytes)
}
