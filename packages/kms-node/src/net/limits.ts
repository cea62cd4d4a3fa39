/** Byte caps of the ceremony stream, from the committee's size (protocol 4; sizes of the canonical encodings of protocol 3). */
export interface CommitteeSize {
  readonly n: number
  readonly t: number
}

const HEADER_BYTES = 1 + 1 + 32 + 4 + 2
const SIGNATURE_BYTES = 64
const POINT_BYTES = 33
/** var body || signature. */
const ENVELOPE_BYTES = 4 + SIGNATURE_BYTES
/** Protobuf tags, lengths and the ceremony id around the canonical bytes. */
const FRAME_OVERHEAD_BYTES = 256

const configBytes = ({ n }: CommitteeSize): number => 42 + 34 * n
/** X with two committees and the longest key name. */
const specBytes = (size: CommitteeSize): number => 192 + 2 * configBytes(size)
/** OUT: its fixed fields, A' and the qualified dealings. */
const outcomeBytes = ({ n, t }: CommitteeSize): number => 134 + POINT_BYTES * t + 34 * n
/** One list of votes with their flag, u16 || u8 || signature each. */
const votesBytes = ({ n }: CommitteeSize): number => 6 + 67 * n
const cert1Bytes = (size: CommitteeSize): number => 4 + outcomeBytes(size) + 2 * votesBytes(size)
const joinBytes = (size: CommitteeSize): number => HEADER_BYTES + 1 + POINT_BYTES + 32 + 1 + 4 + cert1Bytes(size)

/**
 * The longest CeremonyFrame of a committee: a JOINSET whose every JOIN carries a CERT1, or a CERT with its AUTH list.
 * 13 kB for n = 5, t = 3; 1.1 MB for n = 64, t = 33.
 */
export function maxCeremonyFrameBytes(size: CommitteeSize): number {
  const joinSet = HEADER_BYTES + 2 + size.n * (ENVELOPE_BYTES + joinBytes(size)) + ENVELOPE_BYTES
  const certificate = 4 + specBytes(size) + 2 + 66 * size.n + cert1Bytes(size) + votesBytes(size)
  return Math.max(joinSet, certificate) + FRAME_OVERHEAD_BYTES
}

/** Limits of a node's network side. Every number is per node unless its name says otherwise. */
export interface NetLimits {
  /** Open connections of peers outside the roster. */
  readonly maxClientConnections: number
  /** Open connections of one client identity. */
  readonly maxConnectionsPerClient: number
  /** Open sockets of one address outside the roster's, finished handshake or not. */
  readonly maxSocketsPerAddress: number
  /** Sockets whose handshake has not finished. */
  readonly maxPendingSockets: number
  /** A handshake must be finished within this time. */
  readonly handshakeTimeoutMs: number
  /** A client connection without any stream is closed after this time. */
  readonly idleConnectionMs: number
  readonly dialTimeoutMs: number
  /** Reconnecting to a roster peer: first pause, doubled up to the longest. */
  readonly reconnectMs: number
  readonly reconnectMaxMs: number
  /** Outgoing frames waiting for one roster peer; more are dropped, the ceremony sends again. */
  readonly maxQueuedFrames: number
  /** A frame whose length was announced must be complete within this time. */
  readonly frameTimeoutMs: number
  /** The other side must make room for more bytes within this time. */
  readonly drainTimeoutMs: number
  /** Delegation streams of one connection. */
  readonly maxDelegateStreamsPerConnection: number
  /** Requests of one delegation stream under way at once; reading pauses there. */
  readonly delegateWindow: number
  /** A delegation stream without requests is closed after this time. */
  readonly delegateIdleMs: number
}

export const DEFAULT_NET_LIMITS: NetLimits = {
  maxClientConnections: 512,
  maxConnectionsPerClient: 8,
  maxSocketsPerAddress: 128,
  maxPendingSockets: 256,
  handshakeTimeoutMs: 10_000,
  idleConnectionMs: 60_000,
  dialTimeoutMs: 10_000,
  reconnectMs: 250,
  reconnectMaxMs: 15_000,
  maxQueuedFrames: 1024,
  frameTimeoutMs: 15_000,
  drainTimeoutMs: 15_000,
  maxDelegateStreamsPerConnection: 4,
  delegateWindow: 64,
  delegateIdleMs: 300_000,
}
