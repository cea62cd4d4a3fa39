import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Connection, Libp2p, PeerId } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import type { Secret } from '@tkms/dkg'
import { createLibp2p } from 'libp2p'
import { createConnectionGate } from './connection-gate.ts'
import { netError } from './errors.ts'
import type { NetLimits } from './limits.ts'
import type { Roster } from './roster.ts'
import { wholeNoise } from './whole-messages.ts'

/** A stream's receive window, also the most that is buffered while a stream is paused. */
const STREAM_WINDOW_BYTES = 256 * 1024
/** Bytes that wait on one stream because the other side does not read; more reset the stream. */
const MAX_WRITE_BUFFER_BYTES = 4 * 1024 * 1024
/** Streams of one connection, all protocols together. */
const MAX_STREAMS_PER_CONNECTION = 32
/** libp2p's own limits know addresses only, fixed at start: the gate, which follows the roster, does all of it. */
const NO_LIMIT = Number.MAX_SAFE_INTEGER
const LIVENESS_CHECK_MS = 15_000

export interface HostParams {
  /** Ed25519 seed, 32 bytes: the node's identity. Borrowed, not kept. */
  readonly identity: Secret
  readonly roster: Roster
  /** Multiaddrs to listen on. */
  readonly listen: readonly string[]
  /** Multiaddrs to tell others; the listening ones when empty. */
  readonly announce: readonly string[]
  readonly limits: NetLimits
}

/** A libp2p 3 host: TCP, Noise, Yamux, identify. It is not started. */
export async function createHost(params: HostParams): Promise<Libp2p> {
  const { roster, limits } = params
  const privateKey = await params.identity.use((seed) => generateKeyPairFromSeed('Ed25519', seed))
  const host = await createLibp2p({
    start: false,
    privateKey,
    nodeInfo: { name: 'kms-node', version: '1', userAgent: 'kms-node' },
    addresses: { listen: [...params.listen], announce: [...params.announce] },
    transports: [tcp({ backlog: 512, dialOpts: { noDelay: true }, listenOpts: { noDelay: true } })],
    connectionEncrypters: [wholeNoise()],
    streamMuxers: [
      yamux({
        maxInboundStreams: MAX_STREAMS_PER_CONNECTION,
        maxOutboundStreams: MAX_STREAMS_PER_CONNECTION,
        streamOptions: {
          initialStreamWindowSize: STREAM_WINDOW_BYTES,
          maxStreamWindowSize: STREAM_WINDOW_BYTES,
          maxReadBufferLength: 4 * STREAM_WINDOW_BYTES,
          maxWriteBufferLength: MAX_WRITE_BUFFER_BYTES,
        },
      }),
    ],
    services: { identify: identify({ timeout: limits.handshakeTimeoutMs }) },
    connectionGater: createConnectionGate(roster, limits),
    connectionManager: {
      maxConnections: NO_LIMIT,
      maxIncomingPendingConnections: NO_LIMIT,
      inboundConnectionThreshold: NO_LIMIT,
      inboundUpgradeTimeout: limits.handshakeTimeoutMs,
      inboundStreamProtocolNegotiationTimeout: limits.handshakeTimeoutMs,
      outboundStreamProtocolNegotiationTimeout: limits.dialTimeoutMs,
      dialTimeout: limits.dialTimeoutMs,
      addressDialTimeout: limits.dialTimeoutMs,
      reconnectRetries: 0,
    },
    connectionMonitor: {
      pingInterval: LIVENESS_CHECK_MS,
      pingTimeout: { minTimeout: LIVENESS_CHECK_MS, maxTimeout: 4 * LIVENESS_CHECK_MS },
    },
  })
  forgetClients(host, roster)
  closeIdleClients(host, roster, limits.idleConnectionMs)
  return host
}

/** @throws KmsError `libp2p-listen` when one of the addresses cannot be had */
export async function startHost(host: Libp2p, listen: readonly string[]): Promise<void> {
  try {
    await host.start()
  } catch (cause) {
    const [reason = ''] = /\blisten E[A-Z]+: [^\n]*/.exec(String(cause)) ?? []
    throw netError('libp2p-listen', `cannot listen on ${listen.join(', ')}, see listen in node.yaml: ${reason}`, {
      cause,
    })
  }
}

/** The peer store would keep every identity that ever connected. */
function forgetClients(host: Libp2p, roster: Roster): void {
  host.addEventListener('peer:disconnect', ({ detail: peerId }: { readonly detail: PeerId }) => {
    if (roster.byPeerId(peerId) !== undefined) return
    host.peerStore.delete(peerId).catch((cause: unknown) => host.logger.forComponent('kms-node').error('%e', cause))
  })
}

function closeIdleClients(host: Libp2p, roster: Roster, idleMs: number): void {
  const idleSince = new WeakMap<Connection, number>()
  const sweep = (): void => {
    const nowMs = performance.now()
    for (const connection of host.getConnections()) {
      if (roster.isMember(connection.remotePeer) || connection.streams.length > 0) {
        idleSince.delete(connection)
        continue
      }
      const since = idleSince.get(connection) ?? nowMs
      idleSince.set(connection, since)
      if (nowMs - since >= idleMs) connection.abort(netError('stream-timeout', 'a client connection was idle'))
    }
  }
  let timer: NodeJS.Timeout | undefined
  host.addEventListener('start', () => {
    timer = setInterval(sweep, idleMs / 2)
    timer.unref()
  })
  host.addEventListener('stop', () => clearInterval(timer))
}
