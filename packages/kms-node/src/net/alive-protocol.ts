import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import type { ParticipantIndex } from '@tkms/dkg'
import { encode } from 'it-length-prefixed'
import {
  type AliveProof,
  decodeAliveReply,
  decodeAliveRequest,
  encodeAliveReply,
  encodeAliveRequest,
  MAX_ALIVE_FRAME_BYTES,
  MAX_PROOFS,
} from './alive-frame.ts'
import { netError } from './errors.ts'
import { readFrames } from './frames.ts'
import type { NetLimits } from './limits.ts'
import { OPEN_GATE, type PeerGate } from './peer-gate.ts'
import { createRequestRate } from './request-rate.ts'
import type { Roster, RosterPeer } from './roster.ts'
import { writeChunks } from './stream-io.ts'

export const ALIVE_PROTOCOL = '/tkms/alive/1.0.0'

/** A process at the other connection must have answered within this time. */
const CHALLENGE_TIMEOUT_MS = 3_000
const RATE_WINDOW_MS = 1_000
/** Requests of one peer in one window; more are not answered. */
const MAX_REQUESTS_PER_WINDOW = 4

export interface AliveProtocolParams {
  readonly host: Libp2p
  readonly roster: Roster
  readonly limits: NetLimits
  /** Signs a nonce (32 bytes) as this process. */
  readonly prove: (nonce: Uint8Array) => AliveProof
  /** Default: open. */
  readonly gate?: PeerGate
}

/**
 * Finds a second process under one's own identity (row 32). Who starts asks its peers; a peer vouches for nothing itself, it passes
 * the nonce to its other connections of that identity, and the process there signs: no peer can make up a copy.
 */
export interface AliveProtocol {
  start(): Promise<void>
  /**
   * @param nonce 32 fresh bytes
   * @returns what others under our identity have signed; also this process itself, where it has a second connection to the peer
   * @throws KmsError `not-in-roster`, `stream-closed`, `stream-timeout`, `bad-frame`; libp2p's errors when it cannot be reached
   */
  ask(peer: ParticipantIndex, nonce: Uint8Array, signal: AbortSignal): Promise<readonly AliveProof[]>
  stop(): Promise<void>
}

export function createAliveProtocol(params: AliveProtocolParams): AliveProtocol {
  const { host, roster, limits, prove, gate = OPEN_GATE } = params
  const stopping = new AbortController()
  const admitted = createRequestRate({ max: MAX_REQUESTS_PER_WINDOW, windowMs: RATE_WINDOW_MS })

  const exchange = async (stream: Stream, request: Uint8Array, signal: AbortSignal): Promise<Uint8Array> => {
    try {
      await writeChunks(stream, encode(once(request)), { signal, drainTimeoutMs: limits.drainTimeoutMs })
      return await readOne(stream, signal, limits)
    } finally {
      stream.abort(netError('stream-closed', 'the question is answered'))
    }
  }

  const challenge = async (connection: Connection, nonce: Uint8Array): Promise<readonly AliveProof[]> => {
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(CHALLENGE_TIMEOUT_MS)])
    const stream = await connection.newStream(ALIVE_PROTOCOL, { signal })
    const proofs = decodeAliveReply(await exchange(stream, encodeAliveRequest({ type: 'challenge', nonce }), signal))
    return proofs.slice(0, 1)
  }

  /** One that does not answer, or nonsense, is not there. */
  const passOn = async (asker: Connection, nonce: Uint8Array): Promise<readonly AliveProof[]> => {
    const others = host
      .getConnections(asker.remotePeer)
      .filter((connection) => connection.id !== asker.id && connection.status === 'open')
    const answers = others.slice(0, MAX_PROOFS).map((connection) => challenge(connection, nonce).catch(() => []))
    return (await Promise.all(answers)).flat()
  }

  const serve = async (stream: Stream, connection: Connection): Promise<void> => {
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(limits.frameTimeoutMs)])
    try {
      if (roster.byPeerId(connection.remotePeer) === undefined)
        throw netError('not-in-roster', 'the alive protocol is open to the roster only')
      if (!admitted(connection.remotePeer.toString())) throw netError('stream-closed', 'the peer asks too often')
      if (!gate.isAdmitted(connection)) await gate.admitted(connection, signal)
      const { type, nonce } = decodeAliveRequest(await readOne(stream, signal, limits))
      const proofs = type === 'challenge' ? [prove(nonce)] : await passOn(connection, nonce)
      const write = { signal: stopping.signal, drainTimeoutMs: limits.drainTimeoutMs }
      await writeChunks(stream, encode(once(encodeAliveReply(proofs))), write)
      await stream.close({ signal: AbortSignal.timeout(limits.drainTimeoutMs) })
    } catch (cause) {
      stream.abort(cause instanceof Error ? cause : netError('stream-closed', 'the alive stream ended'))
    }
  }

  return {
    start: () =>
      host.handle(ALIVE_PROTOCOL, serve, {
        maxInboundStreams: MAX_REQUESTS_PER_WINDOW,
        maxOutboundStreams: MAX_REQUESTS_PER_WINDOW,
      }),
    ask: async (index, nonce, given) => {
      const peer = roster.byIndex(index)
      if (peer === undefined) throw netError('not-in-roster', 'no such peer')
      const signal = AbortSignal.any([given, stopping.signal])
      const stream = await open(host, peer, signal)
      return decodeAliveReply(await exchange(stream, encodeAliveRequest({ type: 'ask', nonce }), signal))
    },
    stop: async () => {
      stopping.abort(netError('stopping', 'the node is stopping'))
      await host.unhandle(ALIVE_PROTOCOL)
    },
  }
}

async function open(host: Libp2p, peer: RosterPeer, signal: AbortSignal): Promise<Stream> {
  const known = host.getConnections(peer.peerId).find(({ status }) => status === 'open')
  const connection = known ?? (await host.dial([...peer.addresses], { signal }))
  return connection.newStream(ALIVE_PROTOCOL, { signal })
}

async function readOne(stream: Stream, signal: AbortSignal, limits: NetLimits): Promise<Uint8Array> {
  const frames = readFrames(stream, {
    signal,
    maxFrameBytes: () => MAX_ALIVE_FRAME_BYTES,
    frameTimeoutMs: () => limits.frameTimeoutMs,
    idleRemainingMs: () => limits.frameTimeoutMs,
  })
  for await (const frame of frames) return frame
  throw netError('stream-closed', 'the peer closed the stream without a word')
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
