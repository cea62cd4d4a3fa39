import type { Connection, Libp2p, PeerId, Stream } from '@libp2p/interface'
import { type ClusterNode, type ParticipantIndex } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import { type CeremonyFrame, decodeCeremonyFrame, encodeCeremonyFrame, isOpenToFormer } from './ceremony-frame.ts'
import { netError } from './errors.ts'
import { maxFrameBytes } from './frame-caps.ts'
import { readFrames } from './frames.ts'
import type { NetLimits } from './limits.ts'
import { OPEN_GATE, type PeerGate } from './peer-gate.ts'
import { createPeerLink, type PeerLink } from './peer-link.ts'
import type { Roster, RosterChange, RosterEntry, RosterPeer } from './roster.ts'

export const CEREMONY_PROTOCOL = '/tkms/ceremony/1.0.0'

/** What the network tells the ceremonies. `from` is the index whose key Noise has proven. */
export interface CeremonyListener {
  onFrame(from: ParticipantIndex, frame: CeremonyFrame): void
  onPeerConnected(peer: ParticipantIndex): void
}

/** The private network of the roster: one long-lived stream per direction and pair of nodes. */
export interface CeremonyNetwork {
  /** False where the frame was dropped; nothing is kept for a peer that is away. */
  send(to: ParticipantIndex, frame: CeremonyFrame): boolean
  /** To every member; to former members only what they may answer. */
  broadcast(frame: CeremonyFrame): void
  readonly connected: readonly ParticipantIndex[]
  /**
   * From now on the roster is exactly this, the own entry aside. Who left is cut off, who changed its role connects again.
   * @throws KmsError `bad-multiaddr`, `roster-conflict`; then nothing has changed
   */
  setPeers(entries: readonly RosterEntry[]): void
  /** These nodes are members too, under these addresses. @throws KmsError `bad-multiaddr`, `roster-conflict` */
  addPeers(nodes: readonly ClusterNode[]): void
  /** Registers the protocol and starts dialling. The host must be started. */
  start(listener: CeremonyListener): Promise<void>
  stop(): Promise<void>
}

/** For the log; nothing of it comes from the other side. */
export interface NetworkEvents {
  onPeer(event: 'connected' | 'disconnected', peer: ParticipantIndex, cause?: unknown): void
  onRefused(reason: 'not-in-roster' | 'not-attested' | 'bad-frame', remote: string): void
}

export interface CeremonyNetworkParams {
  readonly host: Libp2p
  readonly roster: Roster
  readonly limits: NetLimits
  readonly events: NetworkEvents
  /** What a peer must have proven on a connection before a frame goes over it, either way. Default: open. */
  readonly gate?: PeerGate
}

export function createCeremonyNetwork(params: CeremonyNetworkParams): CeremonyNetwork {
  const { host, roster, limits, events, gate = OPEN_GATE } = params
  const stopping = new AbortController()
  const links = new Map<number, PeerLink>()
  const ending = new Set<Promise<void>>()
  const inbound = new Map<number, Stream>()
  let listening: CeremonyListener | undefined

  const receive = async (stream: Stream, connection: Connection, listener: CeremonyListener): Promise<void> => {
    const peer = roster.byPeerId(connection.remotePeer)
    if (peer === undefined) {
      events.onRefused('not-in-roster', connection.remotePeer.toString())
      stream.abort(netError('not-in-roster', 'the ceremony protocol is open to the roster only'))
      return
    }
    try {
      if (!gate.isAdmitted(connection)) await gate.admitted(connection, stopping.signal)
    } catch (cause) {
      events.onRefused('not-attested', peer.name)
      stream.abort(netError('not-attested', 'the peer has not proven what runs there', { cause }))
      return
    }
    inbound.get(peer.index)?.abort(netError('stream-closed', 'the peer opened a newer ceremony stream'))
    inbound.set(peer.index, stream)
    // It hears ceremonies now: what was tried before it did had to fail.
    links.get(peer.index)?.wake()
    const frames = readFrames(stream, {
      signal: stopping.signal,
      maxFrameBytes: () => maxFrameBytes(roster.peers.length + 1),
      frameTimeoutMs: (bytes) => limits.frameTimeoutMs + (1000 * bytes) / limits.minPeerBytesPerSecond,
      idleRemainingMs: () => Number.POSITIVE_INFINITY,
    })
    let told = false
    try {
      for await (const bytes of frames) {
        // Asked for each frame, and of this very connection: a proof may end while the stream is open.
        if (!gate.isAdmitted(connection)) throw netError('not-attested', 'the proof of the peer has ended')
        const frame = decodeCeremonyFrame(bytes)
        const allowed = mayCarry(peer, frame)
        if (allowed) listener.onFrame(peer.index, frame)
        else if (!told) events.onRefused('not-in-roster', peer.name)
        told ||= !allowed
      }
      stream.abort(netError('stream-closed', 'the peer closed its ceremony stream'))
    } catch (cause) {
      if (isKmsError(cause) && (cause.code === 'bad-frame' || cause.code === 'not-attested'))
        events.onRefused(cause.code, peer.name)
      stream.abort(netError('stream-closed', 'the ceremony stream ended', { cause }))
    } finally {
      if (inbound.get(peer.index) === stream) inbound.delete(peer.index)
    }
  }

  const wakeLink = ({ detail: peerId }: { readonly detail: PeerId }): void => {
    const peer = roster.byPeerId(peerId)
    if (peer !== undefined) links.get(peer.index)?.wake()
  }

  const link = (peer: RosterPeer, listener: CeremonyListener): void => {
    const ports = {
      host,
      protocol: CEREMONY_PROTOCOL,
      limits,
      gate,
      onConnected: ({ index }: RosterPeer) => {
        events.onPeer('connected', index)
        listener.onPeerConnected(index)
      },
      onDisconnected: ({ index }: RosterPeer, cause: unknown) => events.onPeer('disconnected', index, cause),
    }
    links.set(peer.index, createPeerLink(peer, ports))
  }

  /** Its connections were counted in its old role, or are a stranger's: it makes new ones. */
  const cutOff = (peer: RosterPeer): void => {
    const reason = netError('not-in-roster', 'the roster has changed')
    inbound.get(peer.index)?.abort(reason)
    const stopped = links.get(peer.index)?.stop()
    links.delete(peer.index)
    if (stopped !== undefined) {
      ending.add(stopped)
      void stopped.finally(() => ending.delete(stopped))
    }
    for (const connection of host.getConnections(peer.peerId)) connection.abort(reason)
  }

  const follow = ({ removed, added, updated }: RosterChange): void => {
    const listener = listening
    if (listener === undefined) return
    for (const peer of removed) cutOff(peer)
    for (const peer of added) {
      cutOff(peer)
      link(peer, listener)
    }
    for (const peer of updated) {
      links.get(peer.index)?.update(peer)
      links.get(peer.index)?.wake()
    }
  }
  roster.onChange(follow)

  return {
    send: (to, frame) => {
      const open = links.get(to)
      if (open === undefined || !mayCarry(open.peer, frame)) return false
      return open.send(encodeCeremonyFrame(frame))
    },
    broadcast: (frame) => {
      const bytes = encodeCeremonyFrame(frame)
      for (const open of links.values()) if (mayCarry(open.peer, frame)) open.send(bytes)
    },
    get connected() {
      return [...links.values()].filter((open) => open.connected).map((open) => open.peer.index)
    },
    setPeers: (entries) => {
      roster.set(entries)
    },
    addPeers: (nodes) => {
      const added = new Set<number>(nodes.map(({ index }) => index))
      const members = nodes.map((node) => ({ node, role: 'member' }) as const)
      roster.set([...roster.entries.filter(({ node }) => !added.has(node.index)), ...members])
    },
    start: async (listener) => {
      await host.handle(CEREMONY_PROTOCOL, (stream, connection) => receive(stream, connection, listener), {
        maxInboundStreams: 2,
        maxOutboundStreams: 2,
      })
      host.addEventListener('peer:connect', wakeLink)
      listening = listener
      for (const peer of roster.peers) link(peer, listener)
    },
    stop: async () => {
      stopping.abort(netError('stopping', 'the node is stopping'))
      listening = undefined
      host.removeEventListener('peer:connect', wakeLink)
      await host.unhandle(CEREMONY_PROTOCOL)
      await Promise.all([...links.values()].map((open) => open.stop()).concat(...ending))
    },
  }
}

/** Row 30: what a former member says about a ceremony is dropped, and it hears nothing of one. */
const mayCarry = (peer: RosterPeer, frame: CeremonyFrame): boolean => peer.role === 'member' || isOpenToFormer(frame)
