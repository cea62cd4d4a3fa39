import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, u16, u32, u8, varBytes } from '../primitives/codec.ts'
import {
  SIGNATURE_BYTES,
  type SignMessage,
  signTagged,
  type VerifyMessage,
  verifyTagged,
} from '../primitives/ed25519.ts'
import { taggedHash } from '../primitives/hash.ts'
import { participantIndex } from '../primitives/point.ts'
import type { CeremonyId, NodePublicKey, ParticipantIndex } from '../primitives/types.ts'
import { type CommitteeConfig, MAX_MEMBERS, memberAt } from './config.ts'
import { onceFor } from './memo.ts'

/** Message types 1..9; the signature tag is the name (protocol 3). */
export const MESSAGE_NAMES = [
  'join',
  'joinset',
  'deal',
  'vouch',
  'complain',
  'propose',
  'vote',
  'commit',
  'abandon',
] as const
export type MessageName = (typeof MESSAGE_NAMES)[number]

const MESSAGE_VERSION = 1
/** u8 type || u8 1 || ceremony(32) || u32 view || u16 from. */
export const HEADER_BYTES = 40

/** msgHdr of protocol 3. */
export interface MessageHeader {
  readonly name: MessageName
  readonly ceremony: CeremonyId
  readonly view: number
  readonly from: ParticipantIndex
}

/** `var body || sig(64)`: how every ceremony message travels, alone or inside another (protocol 3). */
export interface SignedMessage {
  readonly header: MessageHeader
  /** Header and payload: what hashes and signatures cover. */
  readonly body: Uint8Array
  /** The body behind the header. */
  readonly payload: Uint8Array
  readonly signature: Uint8Array
  /** The whole, as received. */
  readonly bytes: Uint8Array
}

const encodeHeader = (header: MessageHeader): Uint8Array =>
  concatBytes(
    u8(MESSAGE_NAMES.indexOf(header.name) + 1),
    u8(MESSAGE_VERSION),
    header.ceremony,
    u32(header.view),
    u16(header.from),
  )

/** Room for a DEAL with far too many commitments: it must be read to be evidence (row 1). A longer one is not read. */
export const MAX_DEAL_BYTES: number = 64 * 1024

/**
 * The longest signed message that is read: what a ceremony can honestly produce, a JOINSET of n + dealers JOINs that each carry a CERT1,
 * and never less than 64 KiB. CERT1 has OUT (107 + 33t + 34|QUAL| bytes) and two lists of up to n votes (67 bytes each).
 * @param dealers size of the old committee, 0 where the receivers deal themselves
 */
export function maxSignedMessageBytes(n: number, t: number, dealers = 0): number {
  const cert1 = 4 + 107 + 33 * t + 34 * Math.max(n, dealers) + 12 + 2 * 67 * n
  const join = 4 + HEADER_BYTES + 1 + 33 + 32 + 1 + 4 + cert1 + SIGNATURE_BYTES
  return Math.max(MAX_DEAL_BYTES, 4 + HEADER_BYTES + 2 + (n + dealers) * join + SIGNATURE_BYTES)
}

/** The bound for any ceremony: two committees of 64. */
export const MAX_SIGNED_MESSAGE_BYTES: number = maxSignedMessageBytes(MAX_MEMBERS, MAX_MEMBERS - 1, MAX_MEMBERS)

/**
 * Splits a signed message and reads its header. The signature is not checked and the payload not read.
 * @throws KmsError `bad-encoding`, `too-large`
 */
export function decodeSigned(bytes: Uint8Array, maxBytes: number = MAX_SIGNED_MESSAGE_BYTES): SignedMessage {
  if (bytes.length > maxBytes) throw dkgError('too-large', 'a signed message is longer than its committee allows')
  return decodeAll(bytes, 'signed message', (reader) => {
    const body = reader.var(maxBytes, 'body')
    const signature = reader.take(SIGNATURE_BYTES, 'signature')
    return { header: decodeHeader(body), body, payload: body.subarray(HEADER_BYTES), signature, bytes }
  })
}

function decodeHeader(body: Uint8Array): MessageHeader {
  if (body.length < HEADER_BYTES) throw dkgError('bad-encoding', 'a message ends inside its header')
  return decodeAll(body.subarray(0, HEADER_BYTES), 'header', (reader) => {
    const name = MESSAGE_NAMES[reader.u8('type') - 1]
    if (name === undefined) throw dkgError('bad-encoding', 'unknown message type')
    if (reader.u8('version') !== MESSAGE_VERSION) throw dkgError('bad-encoding', 'unknown message version')
    const ceremony = reader.take(32, 'ceremony') as CeremonyId
    return { name, ceremony, view: reader.u32('view'), from: participantIndex(reader.u16('from')) }
  })
}

/** Signs header and payload under the tag of the message's name. */
export function signMessage(sign: SignMessage, header: MessageHeader, payload: Uint8Array): SignedMessage {
  const body = concatBytes(encodeHeader(header), payload)
  const signature = signTagged(sign, header.name, body)
  return {
    header,
    body,
    payload: body.subarray(HEADER_BYTES),
    signature,
    bytes: concatBytes(varBytes(body), signature),
  }
}

/** The signed message whose body everybody can rebuild (a VOTE or COMMIT inside a certificate). */
export const rebuildBody = (header: MessageHeader, payload: Uint8Array): Uint8Array =>
  concatBytes(encodeHeader(header), payload)

/** What old holders may sign: they deal, and JOIN to deal. Everything else is of receivers (protocol 4). */
const DEALER_NAMES: ReadonlySet<MessageName> = new Set(['join', 'deal'])

/** The two committees of a ceremony. */
export interface Signers {
  readonly receivers: CommitteeConfig
  readonly dealers: CommitteeConfig
}

/** Whether the member named in the header signed the body, and may sign messages of this name. */
export function verifySigned(verify: VerifyMessage, { receivers, dealers }: Signers, message: SignedMessage): boolean {
  const { name, from } = message.header
  const member = memberAt(receivers, from) ?? (DEALER_NAMES.has(name) ? memberAt(dealers, from) : undefined)
  return member !== undefined && verifyBody(verify, member.publicKey, name, message.body, message.signature)
}

/** Verifies one signature over a rebuilt body. */
export const verifyBody = (
  verify: VerifyMessage,
  publicKey: NodePublicKey,
  name: MessageName,
  body: Uint8Array,
  signature: Uint8Array,
): boolean => verifyTagged(verify, publicKey, name, body, signature)

/** TH(name, body): joins, deals (protocol R1, R2). 32 bytes. */
export const messageHash: (message: SignedMessage) => Uint8Array = onceFor(({ header, body }) =>
  taggedHash(header.name, body),
)
