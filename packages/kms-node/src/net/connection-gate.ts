import type { ConnectionGater, MultiaddrConnection, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { NetLimits } from './limits.ts'
import { createRequestRate } from './request-rate.ts'
import type { Roster } from './roster.ts'

const RATE_WINDOW_MS = 1_000
/** Addresses whose sockets of one window are counted; beyond that all of them wait for the next window. */
const MAX_COUNTED_HOSTS = 65_536

/**
 * Decides which inbound connections live. Members are known by the identity that Noise has proven and always have room;
 * everybody else shares the client limits, so no number of clients takes a member's place. It follows the roster.
 */
export function createConnectionGate(roster: Roster, limits: NetLimits): ConnectionGater {
  let memberHosts = hostsOf(roster)
  roster.onChange(() => {
    memberHosts = hostsOf(roster)
  })
  const pending = new Set<MultiaddrConnection>()
  const socketsByHost = new Counter()
  const clients = new Counter()
  const hasRate = createRequestRate({
    max: limits.newSocketsPerSecondAndAddress,
    windowMs: RATE_WINDOW_MS,
    maxCallers: MAX_COUNTED_HOSTS,
  })
  let clientConnections = 0

  const onceClosed = (connection: MultiaddrConnection, release: () => void): void => {
    connection.addEventListener('close', release, { once: true })
  }

  return {
    denyDialMultiaddr: () => false,
    denyInboundConnection: (connection) => {
      const host = ipOf(connection.remoteAddr)[0] ?? ''
      const shared = !memberHosts.has(host)
      const maxSockets = limits.maxSocketsPerAddress + (shared ? 0 : limits.maxClientConnections)
      if (socketsByHost.of(host) >= maxSockets) return true
      if (shared && (pending.size >= limits.maxPendingSockets || !hasRate(host))) return true
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
      if (roster.isMember(peerId)) return false
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
}

const hostsOf = (roster: Roster): ReadonlySet<string> =>
  new Set(roster.peers.filter(({ role }) => role === 'member').flatMap(({ addresses }) => addresses.flatMap(ipOf)))

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
