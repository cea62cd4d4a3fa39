import type { ConnectionGater, MultiaddrConnection, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { NetLimits } from './limits.ts'
import type { Roster } from './roster.ts'

/**
 * Decides which inbound connections live. Roster peers are known by the identity that Noise has proven and always have room;
 * everybody else shares the client limits, so no number of clients takes a roster peer's place.
 */
export interface ConnectionGate {
  readonly gater: ConnectionGater
  /** Addresses of roster peers (libp2p's `allow` list): their sockets are accepted also while clients flood. */
  readonly allow: readonly string[]
}

export function createConnectionGate(roster: Roster, limits: NetLimits): ConnectionGate {
  const rosterHosts = new Set(roster.peers.flatMap((peer) => peer.addresses.flatMap(ipOf)))
  const pending = new Set<MultiaddrConnection>()
  const socketsByHost = new Counter()
  const clients = new Counter()
  let clientConnections = 0

  const onceClosed = (connection: MultiaddrConnection, release: () => void): void => {
    connection.addEventListener('close', release, { once: true })
  }

  const gater: ConnectionGater = {
    denyDialMultiaddr: () => false,
    denyInboundConnection: (connection) => {
      const host = ipOf(connection.remoteAddr)[0] ?? ''
      const shared = !rosterHosts.has(host)
      const maxSockets = limits.maxSocketsPerAddress + (shared ? 0 : limits.maxClientConnections)
      if (socketsByHost.of(host) >= maxSockets || (shared && pending.size >= limits.maxPendingSockets)) return true
      if (shared) pending.add(connection)
      socketsByHost.add(host)
      onceClosed(connection, () => {
        pending.delete(connection)
        socketsByHost.remove(host)
      })
      return false
    },
    denyInboundEncryptedConnection: (peerId: PeerId, connection) => {
      pending.delete(connection)
      if (roster.byPeerId(peerId) !== undefined) return false
      const client = peerId.toString()
      if (clientConnections >= limits.maxClientConnections || clients.of(client) >= limits.maxConnectionsPerClient)
        return true
      clientConnections++
      clients.add(client)
      onceClosed(connection, () => {
        clientConnections--
        clients.remove(client)
      })
      return false
    },
  }
  return { gater, allow: [...rosterHosts].map(networkOf) }
}

const networkOf = (host: string): string => (host.includes(':') ? `/ip6/${host}/ipcidr/128` : `/ip4/${host}/ipcidr/32`)

/** The IP address in a multiaddr: none or one. */
export const ipOf = (address: Multiaddr): readonly string[] =>
  address
    .getComponents()
    .filter(({ name }) => name === 'ip4' || name === 'ip6')
    .flatMap(({ value }) => (value === undefined ? [] : [value]))

class Counter {
  readonly #counts = new Map<string, number>()

  of(key: string): number {
    return this.#counts.get(key) ?? 0
  }

  add(key: string): void {
    this.#counts.set(key, this.of(key) + 1)
  }

  remove(key: string): void {
    const left = this.of(key) - 1
    if (left > 0) this.#counts.set(key, left)
    else this.#counts.delete(key)
  }
}
