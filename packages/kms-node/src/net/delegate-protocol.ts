import { setTimeout } from 'node:timers/promises'
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { MAX_REQUEST_BYTES } from '@tkms/dkg'
import { pipe } from 'it-pipe'
import { callerOf, tokensOf } from '../http/rate-limit.ts'
import { createCallAnswerer, type DelegationHandler } from './answer-calls.ts'
import { ipOf } from './connection-gate.ts'
import { netError } from './errors.ts'
import { readFrames } from './frames.ts'
import type { NetLimits } from './limits.ts'
import { OPEN_GATE, type PeerGate } from './peer-gate.ts'
import { writeChunks } from './stream-io.ts'

export const DELEGATE_PROTOCOL = '/tkms/delegate/1.0.0'

/** After a refusal for asking too often nothing more is read of the stream for this long: refusing must not keep the node busy. */
const THROTTLE_MS = 250

/** REQ, its signature (up to 512 bytes), the public key id, a token and protobuf's tags. */
export const MAX_DELEGATE_FRAME_BYTES: number = MAX_REQUEST_BYTES + 1024

export interface DelegateServerParams {
  readonly host: Libp2p
  readonly handler: DelegationHandler
  readonly limits: NetLimits
  /** Whether this IP address may ask for so much more now; a refused request is answered `busy` and costs nothing else. */
  readonly admit: (address: string, tokens: number) => boolean
  /** For the log only. */
  readonly onStreamError: (remote: string, cause: unknown) => void
  /** What a peer of the roster must have proven; nobody else is asked. Default: open. */
  readonly gate?: PeerGate
}

/** The delegation service on libp2p, open to anyone under its own limits. */
export interface DelegateServer {
  start(): Promise<void>
  /** Takes no new streams, lets calls under way finish until `signal`, then ends the streams. */
  stop(signal: AbortSignal): Promise<void>
}

export function createDelegateServer(params: DelegateServerParams): DelegateServer {
  const { host, handler, limits, gate = OPEN_GATE } = params
  const stopping = new AbortController()
  const serving = new Set<Promise<void>>()
  const draining = new AbortController()

  const serve = async (stream: Stream, connection: Connection): Promise<void> => {
    const remote = connection.remotePeer.toString()
    const ended = new AbortController()
    stream.addEventListener('close', () => ended.abort(netError('stream-closed', 'the stream ended')), { once: true })
    const signal = AbortSignal.any([stopping.signal, ended.signal])
    const address = callerOf(ipOf(connection.remoteAddr)[0] ?? '')
    let throttledUntilMs = 0
    const answerer = createCallAnswerer({
      handler: {
        handle: async (authorization, call) => {
          if (params.admit(address, tokensOf(authorization.payload))) return handler.handle(authorization, call)
          throttledUntilMs = performance.now() + THROTTLE_MS
          return { kind: 'refusal', code: 'busy' }
        },
      },
      remote,
      address,
      signal,
      window: limits.delegateWindow,
      onInternalError: (cause) => params.onStreamError(remote, cause),
    })
    let lastFrameMs = performance.now()
    const frames = readFrames(stream, {
      signal: AbortSignal.any([signal, draining.signal]),
      maxFrameBytes: () => MAX_DELEGATE_FRAME_BYTES,
      frameTimeoutMs: () => limits.frameTimeoutMs,
      idleRemainingMs: () =>
        answerer.underWay > 0 ? limits.delegateIdleMs : lastFrameMs + limits.delegateIdleMs - performance.now(),
    })
    try {
      if (!gate.isAdmitted(connection)) await gate.admitted(connection, signal)
      await pipe(
        frames,
        async function* (source) {
          try {
            for await (const frame of source) {
              lastFrameMs = performance.now()
              yield frame
              const throttleMs = throttledUntilMs - performance.now()
              if (throttleMs > 0) await setTimeout(throttleMs, undefined, { signal })
            }
          } catch (cause) {
            // Draining is the end of the input, not an error: what is under way is still answered.
            if (signal.aborted || !draining.signal.aborted) throw cause
          }
        },
        (source) => answerer.answer(source),
        (source) => writeChunks(stream, source, { signal, drainTimeoutMs: limits.drainTimeoutMs }),
      )
      await stream.close({ signal: AbortSignal.timeout(limits.drainTimeoutMs) })
    } catch (cause) {
      const error = cause instanceof Error ? cause : netError('stream-closed', 'the stream ended')
      if (stream.status === 'open') params.onStreamError(remote, error)
      stream.abort(error)
    }
  }

  return {
    start: () =>
      host.handle(
        DELEGATE_PROTOCOL,
        async (stream, connection) => {
          const done = serve(stream, connection)
          serving.add(done)
          await done.finally(() => serving.delete(done))
        },
        { maxInboundStreams: limits.maxDelegateStreamsPerConnection },
      ),
    stop: async (signal) => {
      await host.unhandle(DELEGATE_PROTOCOL)
      draining.abort(netError('stopping', 'the node is stopping'))
      const cut = (): void => stopping.abort(netError('stopping', 'the node is stopping'))
      if (signal.aborted) cut()
      signal.addEventListener('abort', cut, { once: true })
      await Promise.all(serving)
      signal.removeEventListener('abort', cut)
    },
  }
}
