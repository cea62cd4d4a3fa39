import { type ClusterNode, type ParticipantIndex, participantIndex, SIGNATURE_BYTES } from '@tkms/dkg'
import { tkms } from '@tkms/proto'
import { isKmsError } from '../errors.ts'
import { netError } from './errors.ts'
import {
  MAX_KEY_HEADS,
  MAX_KEY_MESSAGE_BYTES,
  MAX_NODE_MULTIADDRS,
  MAX_PROMISED_ORDERS,
  MAX_PROMISED_SPECS,
  MAX_PROPOSED_NODES,
  MAX_SPEC_FRAME_BYTES,
  MAX_STATUS_MESSAGES,
} from './frame-caps.ts'
import { decodeNodeEntry, encodeNodeEntry } from './node-entry.ts'

/** The newest sharing of a key that the sender knows. Nothing is proven: the certificate is. */
export interface KeyHead {
  /** 32 bytes each. */
  readonly keyId: Uint8Array
  readonly sharingId: Uint8Array
  /** u32 each. */
  readonly epoch: number
  readonly attempt: number
}

/** One frame of `/tkms/ceremony/1.0.0` (proto/tkms/v1/ceremony.proto), its bytes copied out of the receive buffer. */
export type CeremonyFrame = EngineFrame | StatusFrame | SpecFrame | KeyFrame | PromiseFrame

/** What a running ceremony says; `ceremony` (32 bytes) only routes. */
export type EngineFrame =
  /** `signed` = var body || signature (protocol 3). */
  | { readonly type: 'message'; readonly ceremony: Uint8Array; readonly signed: Uint8Array }
  | {
      readonly type: 'fetch'
      readonly ceremony: Uint8Array
      readonly sid: Uint8Array
      readonly dealer: number
      readonly dealHash: Uint8Array
    }
  /** Canonical CERT. The answer to `fetchCertificate` too. */
  | { readonly type: 'certificate'; readonly ceremony: Uint8Array; readonly certificate: Uint8Array }

/** After a restart (protocol 5). */
export type StatusFrame =
  | { readonly type: 'statusRequest'; readonly ceremony: Uint8Array }
  /** Signed messages made by the receiver of this frame, at most 72, and the highest CERT1 that the sender holds. */
  | {
      readonly type: 'status'
      readonly ceremony: Uint8Array
      readonly messages: readonly Uint8Array[]
      readonly cert1?: Uint8Array
    }

/** Before a ceremony begins. */
export type SpecFrame =
  /** Canonical X, and where its new members are reached: at most 64 entries, by nobody's signature. */
  | { readonly type: 'proposal'; readonly spec: Uint8Array; readonly nodes: readonly ClusterNode[] }
  /** One old member's signature (64 bytes) over X. */
  | {
      readonly type: 'authorization'
      readonly ceremony: Uint8Array
      readonly index: ParticipantIndex
      readonly signature: Uint8Array
    }

/** About a key: `message` is one canonical message of protocol 8 or 9, 1 byte to 64 KiB. */
export type KeyFrame =
  | { readonly type: 'repair' | 'destroy' | 'erased'; readonly message: Uint8Array }
  /** At most 512. `reply`: "answer with yours". */
  | { readonly type: 'keyHeads'; readonly heads: readonly KeyHead[]; readonly reply: boolean }
  /** 32 bytes. Answered with a `certificate`, by who has it. */
  | { readonly type: 'fetchCertificate'; readonly sharingId: Uint8Array }

/** An X that the receiver may have promised something in. */
export interface PromisedSpec {
  /** Canonical X, 1 byte to `MAX_SPEC_FRAME_BYTES`. */
  readonly spec: Uint8Array
  /** The receiver's AUTH over it, 64 bytes. */
  readonly authorization?: Uint8Array
}

/** After a backup was restored (docs/protocol.md, "After a restore"). */
export type PromiseFrame =
  | { readonly type: 'promisesRequest' }
  /** At most 32 X and 2 orders (1 byte to 64 KiB). `last`: nothing follows. */
  | {
      readonly type: 'promises'
      readonly specs: readonly PromisedSpec[]
      readonly orders: readonly Uint8Array[]
      readonly last: boolean
    }

export const isEngineFrame = (frame: CeremonyFrame): frame is EngineFrame =>
  frame.type === 'message' || frame.type === 'fetch' || frame.type === 'certificate'

/** What a former member may say and is told: which sharings there are, their certificates, and what was erased. */
export const isOpenToFormer = (frame: CeremonyFrame): boolean =>
  frame.type === 'keyHeads' ||
  frame.type === 'fetchCertificate' ||
  frame.type === 'certificate' ||
  frame.type === 'erased' ||
  frame.type === 'destroy'

export function encodeCeremonyFrame(frame: CeremonyFrame): Uint8Array {
  return tkms.v1.CeremonyFrame.encode(frameBody(frame)).finish()
}

function frameBody(frame: CeremonyFrame): tkms.v1.CeremonyFrame.$Properties {
  const { type, ...body } = frame
  if (frame.type === 'proposal') return { proposal: { spec: frame.spec, nodes: frame.nodes.map(encodeNodeEntry) } }
  return { [type]: body }
}

type Body = NonNullable<tkms.v1.CeremonyFrame['body']>
type Properties<Name extends Body> = NonNullable<tkms.v1.CeremonyFrame.$Properties[Name]>

const READ: { readonly [Name in Body]: (body: Properties<Name>) => CeremonyFrame } = {
  message: ({ ceremony, signed }) => ({ type: 'message', ceremony: id32(ceremony), signed: copy(signed) }),
  fetch: ({ ceremony, sid, dealer, dealHash }) => ({
    type: 'fetch',
    ceremony: id32(ceremony),
    sid: id32(sid),
    dealer: dealer ?? 0,
    dealHash: id32(dealHash),
  }),
  certificate: ({ ceremony, certificate }) => ({
    type: 'certificate',
    ceremony: id32(ceremony),
    certificate: copy(certificate),
  }),
  proposal: readProposal,
  authorization: ({ ceremony, index, signature }) => ({
    type: 'authorization',
    ceremony: id32(ceremony),
    index: memberIndex(index),
    signature: exactly(SIGNATURE_BYTES, signature),
  }),
  statusRequest: ({ ceremony }) => ({ type: 'statusRequest', ceremony: id32(ceremony) }),
  status: ({ ceremony, messages, cert1 }) => ({
    type: 'status',
    ceremony: id32(ceremony),
    messages: atMost(MAX_STATUS_MESSAGES, messages).map(copy),
    ...(cert1 && cert1.length > 0 && { cert1: copy(cert1) }),
  }),
  repair: ({ message }) => ({ type: 'repair', message: upTo(MAX_KEY_MESSAGE_BYTES, message) }),
  destroy: ({ message }) => ({ type: 'destroy', message: upTo(MAX_KEY_MESSAGE_BYTES, message) }),
  erased: ({ message }) => ({ type: 'erased', message: upTo(MAX_KEY_MESSAGE_BYTES, message) }),
  keyHeads: ({ heads, reply }) => ({
    type: 'keyHeads',
    heads: atMost(MAX_KEY_HEADS, heads).map(readHead),
    reply: reply === true,
  }),
  fetchCertificate: ({ sharingId }) => ({ type: 'fetchCertificate', sharingId: id32(sharingId) }),
  promisesRequest: () => ({ type: 'promisesRequest' }),
  promises: ({ specs, orders, last }) => ({
    type: 'promises',
    specs: atMost(MAX_PROMISED_SPECS, specs).map(readPromised),
    orders: atMost(MAX_PROMISED_ORDERS, orders).map((order) => upTo(MAX_KEY_MESSAGE_BYTES, order)),
    last: last === true,
  }),
}

/** @throws KmsError `bad-frame` when the bytes are no frame, an id, hash or signature has another length, or a list is too long */
export function decodeCeremonyFrame(bytes: Uint8Array): CeremonyFrame {
  const frame = decodeOrRefuse(bytes)
  const read = <Name extends Body>(name: Name): CeremonyFrame | undefined => {
    const body: Properties<Name> | null | undefined = frame[name]
    return body ? READ[name](body) : undefined
  }
  const result = frame.body === undefined ? undefined : read(frame.body)
  if (result === undefined) throw netError('bad-frame', 'a ceremony frame has no known body')
  return result
}

function readProposal({ spec, nodes }: tkms.v1.Proposal.$Properties): CeremonyFrame {
  const entries = atMost(MAX_PROPOSED_NODES, nodes)
  for (const { multiaddrs } of entries) atMost(MAX_NODE_MULTIADDRS, multiaddrs)
  return { type: 'proposal', spec: upTo(MAX_SPEC_FRAME_BYTES, spec), nodes: entries.map(decodeNodeEntry) }
}

const readHead = ({ keyId, sharingId, epoch, attempt }: tkms.v1.KeyHead.$Properties): KeyHead => ({
  keyId: id32(keyId),
  sharingId: id32(sharingId),
  epoch: epoch ?? 0,
  attempt: attempt ?? 0,
})

const readPromised = ({ spec, authorization }: tkms.v1.PromisedSpec.$Properties): PromisedSpec => ({
  spec: upTo(MAX_SPEC_FRAME_BYTES, spec),
  ...(authorization && authorization.length > 0 && { authorization: exactly(SIGNATURE_BYTES, authorization) }),
})

function decodeOrRefuse(bytes: Uint8Array): tkms.v1.CeremonyFrame {
  try {
    return tkms.v1.CeremonyFrame.decode(bytes)
  } catch (cause) {
    throw netError('bad-frame', 'these bytes are not a ceremony frame', { cause })
  }
}

type Bytes = Uint8Array | null | undefined

const copy = (bytes: Bytes): Uint8Array => Uint8Array.from(bytes ?? [])

function exactly(length: number, bytes: Bytes): Uint8Array {
  if (bytes?.length !== length) throw netError('bad-frame', `a field of a ceremony frame has not ${length} bytes`)
  return copy(bytes)
}

const id32 = (bytes: Bytes): Uint8Array => exactly(32, bytes)

/** 1 to `max` bytes. */
function upTo(max: number, bytes: Bytes): Uint8Array {
  if (!bytes || bytes.length === 0 || bytes.length > max)
    throw netError('bad-frame', `a field of a ceremony frame has not 1 to ${max} bytes`)
  return copy(bytes)
}

function atMost<Item>(max: number, items: readonly Item[] | null | undefined): readonly Item[] {
  const given = items ?? []
  if (given.length > max) throw netError('bad-frame', `a list in a ceremony frame has more than ${max} entries`)
  return given
}

function memberIndex(value: number | null | undefined): ParticipantIndex {
  try {
    return participantIndex(value ?? 0)
  } catch (cause) {
    if (!isKmsError(cause)) throw cause
    throw netError('bad-frame', 'a ceremony frame names an index outside 1..65535', { cause })
  }
}
