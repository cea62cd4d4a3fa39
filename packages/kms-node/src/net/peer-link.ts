import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { encode } from 'it-length-prefixed'
import { pipe } from 'it-pipe'
import { createBoundedQueue, type BoundedQueue } from './bounded-queue.ts'
import { netError } from './errors.ts'
import type { NetLimits } from './limits.ts'
import type { PeerGate } from './peer-gate.ts'
import type { RosterPeer } from './roster.ts'
import { writeChunks } from './stream-io.ts'

/**
 * Our outgoing ceremony stream to one roster peer, opened again with back-off for as long as the peer belongs to the roster.
 * A former member is not dialled: its link lives on the connections that it makes.
 */
export interface PeerLink {
  readonly peer: RosterPeer
  readonly connected: boolean
  /** The same peer at other addresses: used from the next dial on. */
  update(peer: RosterPeer): void
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
  readonly gate: PeerGate
  readonly onConnected: (peer: RosterPeer) => void
  readonly onDisconnected: (peer: RosterPeer, cause: unknown) => void
}

interface Opened {
  readonly stream: Stream
  readonly connection: Connection
}

export function createPeerLink(first: RosterPeer, ports: PeerLinkPorts): PeerLink {
  const { host, protocol, limits, gate } = ports
  const stopping = new AbortController()
  let peer = first
  let queue: BoundedQueue | undefined
  let carriedBy: Connection | undefined
  let wakeUp: () => void = () => {}

  const openStream = async (): Promise<Opened> => {
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(limits.dialTimeoutMs)])
    const open = host.getConnections(peer.peerId).find((connection) => connection.status === 'open')
    const connection: Connection = open ?? (await dial(signal))
    if (!gate.isAdmitted(connection)) await gate.admitted(connection, signal)
    return { stream: await connection.newStream(protocol, { signal }), connection }
  }

  const dial = (signal: AbortSignal): Promise<Connection> => {
    if (peer.role !== 'member') throw netError('not-in-roster', 'a former member is not dialled')
    return host.dial([...peer.addresses], { signal })
  }

  const serve = async ({ stream, connection }: Opened): Promise<void> => {
    const frames = createBoundedQueue(limits.maxQueuedFrames, limits.maxQueuedBytes)
    stream.addEventListener('close', () => frames.close(), { once: true })
    // A peer that refuses us may have reset it already: the event does not come again.
    if (stream.status !== 'open') frames.close()
    queue = frames
    carriedBy = connection
    ports.onConnected(peer)
    try {
      const write = { signal: stopping.signal, drainTimeoutMs: limits.peerDrainTimeoutMs }
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
      const opened = await openStream().catch(() => undefined)
      if (opened !== undefined) {
        const openedMs = performance.now()
        await serve(opened)
        // A peer that refuses us opens a stream and resets it: that is no reason to ask more often.
        if (performance.now() - openedMs > limits.reconnectMaxMs) pauseMs = limits.reconnectMs
      }
      if (stopping.signal.aborted) return
      await pause(pauseMs * (0.75 + Math.random() / 2))
      pauseMs = Math.min(2 * pauseMs, limits.reconnectMaxMs)
    }
  }
  const running = run()

  return {
    get peer() {
      return peer
    },
    update: (newer) => {
      peer = newer
    },
    get connected() {
      return queue !== undefined
    },
    send: (frame) => {
      // The connection that was verified is the one that carries the frame.
      if (carriedBy === undefined || !gate.isAdmitted(carriedBy)) return false
      return queue?.push(frame) ?? false
    },
    wake: () => wakeUp(),
    stop: async () => {
      stopping.abort(netError('stopping', 'the node is stopping'))
      queue?.close()
      wakeUp()
      await running
    },
  }
}
