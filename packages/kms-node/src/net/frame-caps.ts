/** Byte caps of the ceremony stream (protocol 4; sizes of the canonical encodings of protocol 3). */

/** How large a ceremony is: the new committee, and the old one that deals to it. */
export interface CeremonySize {
  /** Members and threshold of newConfig. */
  readonly n: number
  readonly t: number
  /** Members of oldConfig; absent where the new members deal themselves. */
  readonly nOld?: number
}

const MAX_MEMBERS = 64
const HEADER_BYTES = 1 + 1 + 32 + 4 + 2
const SIGNATURE_BYTES = 64
const POINT_BYTES = 33
/** var body || signature. */
const ENVELOPE_BYTES = 4 + SIGNATURE_BYTES
/** Protobuf tags, lengths and the ceremony id around the canonical bytes. */
const FRAME_OVERHEAD_BYTES = 256
/** Protobuf's tag and length before a repeated field. */
const FIELD_OVERHEAD_BYTES = 6
/** A DEAL with far too many commitments must be read to be evidence (protocol section 2), however small the committee. */
const MIN_DEAL_BYTES = 64 * 1024

const configBytes = (n: number): number => 42 + 34 * n
/** X with two committees and the longest key name. */
const specBytes = ({ n, nOld = 0 }: CeremonySize): number => 196 + configBytes(n) + configBytes(nOld)
const dealersOf = ({ n, nOld = 0 }: CeremonySize): number => Math.max(n, nOld)
/** OUT: its fixed fields, A' and the qualified dealings. */
const outcomeBytes = (size: CeremonySize): number => 134 + POINT_BYTES * size.t + 34 * dealersOf(size)
/** One list of votes with their flag, u16 || u8 || signature each. */
const votesBytes = ({ n }: CeremonySize): number => 6 + 67 * n
const cert1Bytes = (size: CeremonySize): number => 4 + outcomeBytes(size) + 2 * votesBytes(size)
const joinBytes = (size: CeremonySize): number =>
  HEADER_BYTES + 1 + POINT_BYTES + 32 + 1 + 4 + cert1Bytes(size) + ENVELOPE_BYTES
/** Receivers and dealers each send a JOIN, and every JOIN may carry a CERT1. */
const joinSetBytes = (size: CeremonySize): number =>
  HEADER_BYTES + 2 + (size.n + (size.nOld ?? 0)) * joinBytes(size) + ENVELOPE_BYTES
const dealBytes = ({ n, t }: CeremonySize): number =>
  Math.max(MIN_DEAL_BYTES, HEADER_BYTES + 64 + 2 + POINT_BYTES * (t + 1) + 128 + 2 + 34 * n + ENVELOPE_BYTES)
const vouchBytes = (size: CeremonySize): number => HEADER_BYTES + 34 + 34 * dealersOf(size) + ENVELOPE_BYTES
const COMPLAIN_BYTES = HEADER_BYTES + 32 + 2 + 32 + POINT_BYTES + 64 + ENVELOPE_BYTES
const proposeBytes = (size: CeremonySize): number =>
  HEADER_BYTES + 1 + 4 + outcomeBytes(size) + 4 + cert1Bytes(size) + ENVELOPE_BYTES
/** VOTE, COMMIT and ABANDON. */
const SHORT_MESSAGE_BYTES = HEADER_BYTES + 33 + ENVELOPE_BYTES

const certificateBytes = (size: CeremonySize): number =>
  8 + specBytes(size) + 2 + 66 * (size.nOld ?? 0) + cert1Bytes(size) + votesBytes(size)

/** One member's JOIN, JOINSET, DEAL, VOUCH, PROPOSE, VOTE, COMMIT and ABANDON, and a COMPLAIN against every dealer. */
export const MAX_STATUS_MESSAGES: number = 8 + MAX_MEMBERS

/** Everything one member can have signed in one view, and a CERT1 (protocol 5, STATUS). */
function statusBytes(size: CeremonySize): number {
  const complaints = dealersOf(size) * COMPLAIN_BYTES
  const messages = joinBytes(size) + joinSetBytes(size) + dealBytes(size) + vouchBytes(size) + complaints
  const overhead = MAX_STATUS_MESSAGES * FIELD_OVERHEAD_BYTES
  return messages + proposeBytes(size) + 3 * SHORT_MESSAGE_BYTES + cert1Bytes(size) + overhead
}

/**
 * The longest frame of one ceremony: a STATUS of the leader whose JOINSET has a CERT1 in every JOIN, and never less than one
 * oversized DEAL. 94 kB for n = 5, t = 3; 1.8 MB for n = 64, t = 33 dealt by 64.
 */
export function maxCeremonyFrameBytes(size: CeremonySize): number {
  return Math.max(statusBytes(size), certificateBytes(size)) + FRAME_OVERHEAD_BYTES
}

/** Entries of the address book in one proposal. */
export const MAX_PROPOSED_NODES: number = MAX_MEMBERS
export const MAX_NODE_MULTIADDRS = 16
const MAX_MULTIADDR_BYTES = 256
const MAX_URL_BYTES = 512
const MAX_NAME_BYTES = 64
const MAX_NODE_ENTRY_BYTES =
  MAX_NODE_MULTIADDRS * (MAX_MULTIADDR_BYTES + FIELD_OVERHEAD_BYTES) +
  (MAX_URL_BYTES + MAX_NAME_BYTES + 2 * 32 + 6 * FIELD_OVERHEAD_BYTES)
/** X with two full committees and a full address book, 0.3 MB. */
const MAX_PROPOSAL_BYTES =
  specBytes({ n: MAX_MEMBERS, t: 2, nOld: MAX_MEMBERS }) +
  MAX_PROPOSED_NODES * (MAX_NODE_ENTRY_BYTES + FIELD_OVERHEAD_BYTES)

/** The canonical X of the largest committees. */
export const MAX_SPEC_FRAME_BYTES: number = specBytes({ n: MAX_MEMBERS, t: 2, nOld: MAX_MEMBERS })

/** Newest sharings in one frame; who has more keys sends several. */
export const MAX_KEY_HEADS = 512

/** X and orders in one `promises` frame, 0.3 MB with the largest committees. */
export const MAX_PROMISED_SPECS = 32
export const MAX_PROMISED_ORDERS = 2

/** A message of a repair (protocol 9: t points, 2.4 kB), of DESTROY (64 signatures, 4.4 kB), or an ERASED. */
export const MAX_KEY_MESSAGE_BYTES: number = 64 * 1024

/**
 * The longest frame of a node that knows `members` nodes, itself included: any of them may form both committees of a ceremony, with
 * any threshold; a proposal may name more nodes than are known here.
 */
export function maxFrameBytes(members: number): number {
  const n = Math.min(Math.max(members, 3), MAX_MEMBERS)
  const ceremony = maxCeremonyFrameBytes({ n, t: n - 1, nOld: n })
  return Math.max(ceremony, MAX_PROPOSAL_BYTES + FRAME_OVERHEAD_BYTES)
}
