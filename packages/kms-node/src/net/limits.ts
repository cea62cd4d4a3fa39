/** Limits of a node's network side. Every number is per node unless its name says otherwise. */
export interface NetLimits {
  /** Open connections of peers outside the roster. */
  readonly maxClientConnections: number
  /** Open connections of one client identity. */
  readonly maxConnectionsPerClient: number
  /** Open sockets of one address outside the roster's, finished handshake or not. */
  readonly maxSocketsPerAddress: number
  /** New sockets in one second of one address outside the roster's. */
  readonly newSocketsPerSecondAndAddress: number
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
  /** Their bytes. */
  readonly maxQueuedBytes: number
  /** A frame whose length was announced must be complete within this time; a roster peer gets more for a longer one. */
  readonly frameTimeoutMs: number
  /** A ceremony frame may come this slowly: 10 % loss and a second of round trip leave 5 kB/s to one connection. */
  readonly minPeerBytesPerSecond: number
  /** The other side must make room for more bytes within this time. */
  readonly drainTimeoutMs: number
  /** The same for a roster peer: its link may be slow, and a dead one is found by its missing answers to pings. */
  readonly peerDrainTimeoutMs: number
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
  newSocketsPerSecondAndAddress: 50,
  maxPendingSockets: 256,
  handshakeTimeoutMs: 10_000,
  idleConnectionMs: 60_000,
  dialTimeoutMs: 10_000,
  reconnectMs: 250,
  reconnectMaxMs: 15_000,
  maxQueuedFrames: 1024,
  maxQueuedBytes: 16 * 1024 * 1024,
  frameTimeoutMs: 15_000,
  minPeerBytesPerSecond: 2048,
  drainTimeoutMs: 15_000,
  peerDrainTimeoutMs: 120_000,
  maxDelegateStreamsPerConnection: 4,
  delegateWindow: 64,
  delegateIdleMs: 300_000,
}
