import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { encode } from 'it-length-prefixed'
import { pipe } from 'it-pipe'
import { createBoundedQueue, type BoundedQueue } from './bounded-queue.ts'
import { netError } from './errors.ts'
import type { NetLimits } from './limits.ts'
import type { RosterPeer } from './roster.ts'
import { writeChunks } from './stream-io.ts'

/** Our outgoing ceremony stream to one roster peer, opened again with back-off for as long as the node runs. */
export interface PeerLink {
  readonly peer: RosterPeer
  readonly connected: boolean
  /** False when the frame was dropped: not connected, or the queue is full. The ceremony sends again by itself. */
  send(frame: Uint8Array): boolean
  /** Try again at once, without waiting for the back-off to pass. */
  wake(): void
  stop(): Promise<void>
}

export interface PeerLinkPorts {
  readonly host: Libp2p
  readonly protocol: string
  readonly limits: NetLimits
  readonly onConnected: (peer: RosterPeer) => void
  readonly onDisconnected: (peer: RosterPeer, cause: unknown) => void
}

export function createPeerLink(peer: RosterPeer, ports: PeerLinkPorts): PeerLink {
  const { host, protocol, limits } = ports
  const stopping = new AbortController()
  let queue: BoundedQueue<Uint8Array> | undefined
  let wakeUp: () => void = () => {}

  const openStream = async (): Promise<Stream> => {
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(limits.dialTimeoutMs)])
    const open = host.getConnections(peer.peerId).find((connection) => connection.status === 'open')
    const connection: Connection = open ?? (await host.dial([...peer.addresses], { signal }))
    return connection.newStream(protocol, { signal })
  }

  const serve = async (stream: Stream): Promise<void> => {
    const frames = createBoundedQueue<Uint8Array>(limits.maxQueuedFrames)
    stream.addEventListener('close', () => frames.close(), { once: true })
    queue = frames
    ports.onConnected(peer)
    try {
      const write = { signal: stopping.signal, drainTimeoutMs: limits.drainTimeoutMs }
      await pipe(
        frames,
        (source) => encode(source),
        (source) => writeChunks(stream, source, write),
      )
      throw netError('stream-closed', 'the peer closed the ceremony stream')
    } catch (cause) {
      queue = undefined
      frames.close()
      stream.abort(cause instanceof Error ? cause : netError('stream-closed', 'the ceremony stream ended'))
      ports.onDisconnected(peer, cause)
    }
  }

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer)
        wakeUp = () => {}
        resolve()
      }
      const timer = setTimeout(finish, ms)
      wakeUp = finish
    })

  const run = async (): Promise<void> => {
    let pauseMs = limits.reconnectMs
    while (!stopping.signal.aborted) {
      const stream = await openStream().catch(() => undefined)
      if (stream !== undefined) {
        pauseMs = limits.reconnectMs
        await serve(stream)
      }
      if (stopping.signal.aborted) return
      await pause(pauseMs * (0.75 + Math.random() / 2))
      pauseMs = Math.min(2 * pauseMs, limits.reconnectMaxMs)
    }
  }
  const running = run()

  return {
    peer,
    get connected() {
      return queue !== undefined
    },
    send: (frame) => queue?.push(frame) ?? false,
    wake: () => wakeUp(),
    stop: async () => {
      stopping.abort(netError('stopping', 'the node is stopping'))
      queue?.close()
      wakeUp()
      await running
    },
  }
}
