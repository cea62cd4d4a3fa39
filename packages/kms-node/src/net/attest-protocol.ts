import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import type { ParticipantIndex } from '@tkms/dkg'
import { encode } from 'it-length-prefixed'
import {
  type AttestReply,
  decodeAttestReply,
  decodeAttestRequest,
  decodeAttestVerdict,
  encodeAttestReply,
  encodeAttestRequest,
  encodeAttestVerdict,
  MAX_ATTEST_FRAME_BYTES,
} from './attest-frame.ts'
import { channelBindingOf } from './channel-binding.ts'
import { netError } from './errors.ts'
import { readFrames } from './frames.ts'
import type { NetLimits } from './limits.ts'
import { createRequestRate } from './request-rate.ts'
import type { Roster } from './roster.ts'
import { writeChunks } from './stream-io.ts'

export const ATTEST_PROTOCOL = '/tkms/attest/1.0.0'

/** From the opening of the stream to the verdict: a quote takes a guest agent a second or two. */
const EXCHANGE_TIMEOUT_MS = 20_000
const RATE_WINDOW_MS = 1_000
/** Challenges of one peer in one window; more are not answered. */
const MAX_CHALLENGES_PER_WINDOW = 8
/** Quotes that are made at once, of all peers together and of one of them, so that no peer takes the places of the others. */
const MAX_PROOFS_UNDER_WAY = 16
const MAX_PROOFS_OF_PEER = 2

/** What a proof is about. */
export interface ChannelChallenge {
  /** 32 bytes, the verifier's. */
  readonly nonce: Uint8Array
  /** 32 bytes: `channelBindingOf` of the connection. */
  readonly binding: Uint8Array
}

export interface AttestProtocolParams {
  readonly host: Libp2p
  readonly roster: Roster
  readonly limits: NetLimits
  /** Proves what runs here, for one connection. */
  readonly prove: (challenge: ChannelChallenge, signal: AbortSignal) => Promise<AttestReply>
  /** What a peer said of our proof: 0 is a yes, anything else why not. */
  readonly onVerdict: (peer: ParticipantIndex, status: number) => void
  /** For the log: a challenge of a peer that could not be answered. */
  readonly onUnanswered: (peer: ParticipantIndex, cause: unknown) => void
}

/** Asks peers to prove what runs at the other end of a connection, and answers when they ask. */
export interface AttestProtocol {
  start(): Promise<void>
  /**
   * One question on this very connection.
   * @param nonce 32 fresh bytes
   * @param judge says what is thought of the reply; its `status` is told to the peer
   * @throws KmsError `no-channel-binding`, `stream-closed`, `stream-timeout`, `bad-frame`; libp2p's errors, those of `judge`
   */
  challenge<Verdict extends { readonly status: number }>(
    connection: Connection,
    nonce: Uint8Array,
    judge: (reply: AttestReply, challenge: ChannelChallenge, signal: AbortSignal) => Promise<Verdict>,
  ): Promise<Verdict>
  stop(): Promise<void>
}

export function createAttestProtocol(params: AttestProtocolParams): AttestProtocol {
  const { host, roster, limits, prove } = params
  const stopping = new AbortController()
  const admitted = createRequestRate({ max: MAX_CHALLENGES_PER_WINDOW, windowMs: RATE_WINDOW_MS })
  const proving = new Map<ParticipantIndex, number>()

  const deadline = (): AbortSignal => AbortSignal.any([stopping.signal, AbortSignal.timeout(EXCHANGE_TIMEOUT_MS)])
  const write = async (stream: Stream, frame: Uint8Array, signal: AbortSignal): Promise<void> =>
    writeChunks(stream, encode(once(frame)), { signal, drainTimeoutMs: limits.drainTimeoutMs })

  const answer = async (stream: Stream, connection: Connection, peer: ParticipantIndex): Promise<void> => {
    if (!admitted(String(peer))) throw netError('stream-closed', 'the peer asks for proofs too often')
    const signal = deadline()
    const frames = framesOf(stream, signal)
    const nonce = decodeAttestRequest(await next(frames))
    const reply = await inPlace(peer, () => prove({ nonce, binding: bindingOf(connection) }, signal))
    await write(stream, encodeAttestReply(reply), signal)
    params.onVerdict(peer, decodeAttestVerdict(await next(frames)))
    await stream.close({ signal })
  }

  const inPlace = async <T>(peer: ParticipantIndex, work: () => Promise<T>): Promise<T> => {
    const own = proving.get(peer) ?? 0
    const all = [...proving.values()].reduce((sum, count) => sum + count, 0)
    if (own >= MAX_PROOFS_OF_PEER || all >= MAX_PROOFS_UNDER_WAY)
      throw netError('stream-closed', 'too many proofs are under way')
    proving.set(peer, own + 1)
    try {
      return await work()
    } finally {
      const left = (proving.get(peer) ?? 1) - 1
      if (left > 0) proving.set(peer, left)
      else proving.delete(peer)
    }
  }

  const serve = async (stream: Stream, connection: Connection): Promise<void> => {
    const peer = roster.byPeerId(connection.remotePeer)
    try {
      if (peer === undefined) throw netError('not-in-roster', 'the attest protocol is open to the roster only')
      await answer(stream, connection, peer.index)
    } catch (cause) {
      if (peer !== undefined) params.onUnanswered(peer.index, cause)
      stream.abort(cause instanceof Error ? cause : netError('stream-closed', 'the attest stream ended'))
    }
  }

  return {
    start: () =>
      host.handle(ATTEST_PROTOCOL, serve, {
        maxInboundStreams: MAX_CHALLENGES_PER_WINDOW,
        maxOutboundStreams: MAX_CHALLENGES_PER_WINDOW,
      }),
    challenge: async (connection, nonce, judge) => {
      const challenge = { nonce, binding: bindingOf(connection) }
      const signal = deadline()
      const stream = await connection.newStream(ATTEST_PROTOCOL, { signal })
      try {
        await write(stream, encodeAttestRequest(nonce), signal)
        const verdict = await judge(decodeAttestReply(await next(framesOf(stream, signal))), challenge, signal)
        await write(stream, encodeAttestVerdict(verdict.status), signal)
        await stream.close({ signal })
        return verdict
      } catch (cause) {
        stream.abort(cause instanceof Error ? cause : netError('stream-closed', 'the attest stream ended'))
        throw cause
      }
    },
    stop: async () => {
      stopping.abort(netError('stopping', 'the node is stopping'))
      await host.unhandle(ATTEST_PROTOCOL)
    },
  }
}

function bindingOf(connection: Connection): Uint8Array {
  const binding = channelBindingOf(connection)
  if (binding === undefined) throw netError('no-channel-binding', 'this connection has no handshake that is known here')
  return binding
}

const framesOf = (stream: Stream, signal: AbortSignal): AsyncGenerator<Uint8Array> =>
  readFrames(stream, {
    signal,
    maxFrameBytes: () => MAX_ATTEST_FRAME_BYTES,
    frameTimeoutMs: () => EXCHANGE_TIMEOUT_MS,
    idleRemainingMs: () => EXCHANGE_TIMEOUT_MS,
  })

async function next(frames: AsyncGenerator<Uint8Array>): Promise<Uint8Array> {
  const frame = await frames.next()
  if (frame.done === true) throw netError('stream-closed', 'the peer closed the stream without a word')
  return frame.value
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
