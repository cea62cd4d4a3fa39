import type { Connection, Libp2p, PeerId, Stream } from '@libp2p/interface'
import { type ParticipantIndex } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import { type CeremonyFrame, decodeCeremonyFrame, encodeCeremonyFrame } from './ceremony-frame.ts'
import { netError } from './errors.ts'
import { readFrames } from './frames.ts'
import { maxFrameBytes } from './frame-caps.ts'
import type { NetLimits } from './limits.ts'
import { createPeerLink, type PeerLink } from './peer-link.ts'
import type { Roster } from './roster.ts'

export const CEREMONY_PROTOCOL = '/tkms/ceremony/1.0.0'

/** What the network tells the ceremonies. `from` is the index whose key Noise has proven. */
export interface CeremonyListener {
  onFrame(from: ParticipantIndex, frame: CeremonyFrame): void
  onPeerConnected(peer: ParticipantIndex): void
}

/** The committee's private network: one long-lived stream per direction and pair of members. */
export interface CeremonyNetwork {
  /** False where the frame was dropped; nothing is kept for a peer that is away. */
  send(to: ParticipantIndex, frame: CeremonyFrame): boolean
  broadcast(frame: CeremonyFrame): void
  readonly connected: readonly ParticipantIndex[]
  /** Registers the protocol and starts dialling. The host must be started. */
  start(listener: CeremonyListener): Promise<void>
  stop(): Promise<void>
}

/** For the log; nothing of it comes from the other side. */
export interface NetworkEvents {
  onPeer(event: 'connected' | 'disconnected', peer: ParticipantIndex, cause?: unknown): void
  onRefused(reason: 'not-in-roster' | 'bad-frame', remote: string): void
}

export interface CeremonyNetworkParams {
  readonly host: Libp2p
  readonly roster: Roster
  readonly limits: NetLimits
  readonly events: NetworkEvents
}

export function createCeremonyNetwork(params: CeremonyNetworkParams): CeremonyNetwork {
  const { host, roster, limits, events } = params
  const stopping = new AbortController()
  const links = new Map<number, PeerLink>()
  const inbound = new Map<number, Stream>()

  const receive = async (stream: Stream, connection: Connection, listener: CeremonyListener): Promise<void> => {
    const peer = roster.byPeerId(connection.remotePeer)
    if (peer === undefined) {
      events.onRefused('not-in-roster', connection.remotePeer.toString())
      stream.abort(netError('not-in-roster', 'the ceremony protocol is open to the roster only'))
      return
    }
    inbound.get(peer.index)?.abort(netError('stream-closed', 'the peer opened a newer ceremony stream'))
    inbound.set(peer.index, stream)
    const frames = readFrames(stream, {
      signal: stopping.signal,
      maxFrameBytes: maxFrameBytes(roster.peers.length + 1),
      frameTimeoutMs: limits.frameTimeoutMs,
      idleRemainingMs: () => Number.POSITIVE_INFINITY,
    })
    try {
      for await (const frame of frames) listener.onFrame(peer.index, decodeCeremonyFrame(frame))
      stream.abort(netError('stream-closed', 'the peer closed its ceremony stream'))
    } catch (cause) {
      if (isKmsError(cause) && cause.code === 'bad-frame') events.onRefused('bad-frame', peer.name)
      stream.abort(netError('stream-closed', 'the ceremony stream ended', { cause }))
    } finally {
      if (inbound.get(peer.index) === stream) inbound.delete(peer.index)
    }
  }

  const wakeLink = ({ detail: peerId }: { readonly detail: PeerId }): void => {
    const peer = roster.byPeerId(peerId)
    if (peer !== undefined) links.get(peer.index)?.wake()
  }

  return {
    send: (to, frame) => links.get(to)?.send(encodeCeremonyFrame(frame)) ?? false,
    broadcast: (frame) => {
      const bytes = encodeCeremonyFrame(frame)
      for (const link of links.values()) link.send(bytes)
    },
    get connected() {
      return [...links.values()].filter((link) => link.connected).map((link) => link.peer.index)
    },
    start: async (listener) => {
      await host.handle(CEREMONY_PROTOCOL, (stream, connection) => receive(stream, connection, listener), {
        maxInboundStreams: 2,
        maxOutboundStreams: 2,
      })
      host.addEventListener('peer:connect', wakeLink)
      for (const peer of roster.peers)
        links.set(
          peer.index,
          createPeerLink(peer, {
            host,
            protocol: CEREMONY_PROTOCOL,
            limits,
            onConnected: ({ index }) => {
              events.onPeer('connected', index)
              listener.onPeerConnected(index)
            },
            onDisconnected: ({ index }, cause) => events.onPeer('disconnected', index, cause),
          }),
        )
    },
    stop: async () => {
      stopping.abort(netError('stopping', 'the node is stopping'))
      host.removeEventListener('peer:connect', wakeLink)
      await host.unhandle(CEREMONY_PROTOCOL)
      await Promise.all([...links.values()].map((link) => link.stop()))
    },
  }
}
