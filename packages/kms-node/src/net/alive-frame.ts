import { SIGNATURE_BYTES } from '@tkms/dkg'
import { tkms } from '@tkms/proto'
import { netError } from './errors.ts'

/** A process that runs under an identity, and signed a nonce with it. What is signed is its own matter. */
export interface AliveProof {
  /** 16 bytes, drawn when the process started. */
  readonly instance: Uint8Array
  /** For how long it runs, a whole number. */
  readonly upMs: number
  /** 64 bytes. */
  readonly signature: Uint8Array
}

export type AliveRequest =
  /** `nonce`: 32 bytes. */
  { readonly type: 'ask' | 'challenge'; readonly nonce: Uint8Array }

export const NONCE_BYTES = 32
export const INSTANCE_BYTES = 16
/** Other connections of one identity that a question is passed on to. */
export const MAX_PROOFS = 4
/** Four proofs of 88 bytes and protobuf's tags. */
export const MAX_ALIVE_FRAME_BYTES = 512

export const encodeAliveRequest = ({ type, nonce }: AliveRequest): Uint8Array =>
  tkms.v1.AliveRequest.encode({ [type]: nonce }).finish()

/** @throws KmsError `bad-frame` */
export function decodeAliveRequest(bytes: Uint8Array): AliveRequest {
  const { body, ask, challenge } = decodeOrRefuse(() => tkms.v1.AliveRequest.decode(bytes))
  if (body === 'ask') return { type: 'ask', nonce: exactly(NONCE_BYTES, ask) }
  if (body === 'challenge') return { type: 'challenge', nonce: exactly(NONCE_BYTES, challenge) }
  throw netError('bad-frame', 'an alive request has no known body')
}

export const encodeAliveReply = (proofs: readonly AliveProof[]): Uint8Array =>
  tkms.v1.AliveReply.encode({
    proofs: proofs.map(({ instance, upMs, signature }) => ({ instance, upMs: u64(upMs), signature })),
  }).finish()

/** @throws KmsError `bad-frame` */
export function decodeAliveReply(bytes: Uint8Array): readonly AliveProof[] {
  const proofs = decodeOrRefuse(() => tkms.v1.AliveReply.decode(bytes)).proofs ?? []
  if (proofs.length > MAX_PROOFS) throw netError('bad-frame', `an alive reply has more than ${MAX_PROOFS} proofs`)
  return proofs.map(({ instance, upMs, signature }) => ({
    instance: exactly(INSTANCE_BYTES, instance),
    upMs: readU64(exactly(8, upMs)),
    signature: exactly(SIGNATURE_BYTES, signature),
  }))
}

function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value))
  return bytes
}

function readU64(bytes: Uint8Array): number {
  const value = new DataView(bytes.buffer).getBigUint64(0)
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw netError('bad-frame', 'nothing runs for that long')
  return Number(value)
}

function decodeOrRefuse<Message>(decode: () => Message): Message {
  try {
    return decode()
  } catch (cause) {
    throw netError('bad-frame', 'these bytes are not an alive frame', { cause })
  }
}

function exactly(length: number, bytes: Uint8Array | null | undefined): Uint8Array {
  if (bytes?.length !== length) throw netError('bad-frame', `a field of an alive frame has not ${length} bytes`)
  return Uint8Array.from(bytes)
}
