import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import type { PeerId } from '@libp2p/interface'
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import { type ClusterNode, equalBytes, type NodePublicKey, type ParticipantIndex } from '@tkms/dkg'
import { netError } from './errors.ts'

/**
 * What an identity may do on the ceremony protocol (row 30). A `member` is in a current committee, in an undecided ceremony, or a
 * candidate of the operator. A `former` member may learn what became of its keys and say what it erased, and nothing else; its
 * connections count as a client's.
 */
export type PeerRole = 'member' | 'former'

/** Who belongs to the roster, and as what. */
export interface RosterEntry {
  readonly node: ClusterNode
  readonly role: PeerRole
}

/** Another node as the network sees it. */
export interface RosterPeer {
  readonly index: ParticipantIndex
  readonly name: string
  readonly role: PeerRole
  readonly publicKey: NodePublicKey
  readonly peerId: PeerId
  /** Each ends in `/p2p/<peerId>`, so a dial proves whom it reached. */
  readonly addresses: readonly Multiaddr[]
}

/** What one call of `set` changed. A peer that changed its identity or role is in both lists. */
export interface RosterChange {
  readonly removed: readonly RosterPeer[]
  readonly added: readonly RosterPeer[]
  /** The same identity and role, another name or other addresses. */
  readonly updated: readonly RosterPeer[]
}

/** The other nodes, found by index or by the peer id that Noise has proven. It changes while the node runs. */
export interface Roster {
  readonly peers: readonly RosterPeer[]
  /** What `set` was given last, without the own entry. */
  readonly entries: readonly RosterEntry[]
  byPeerId(peerId: PeerId): RosterPeer | undefined
  byIndex(index: number): RosterPeer | undefined
  isMember(peerId: PeerId): boolean
  /**
   * From now on exactly these; the own entry is left out. All or nothing.
   * @throws KmsError `bad-multiaddr`, `roster-conflict` when two entries share an index or an identity
   */
  set(entries: readonly RosterEntry[]): RosterChange
  /** Called after every change, in the order of registration. */
  onChange(listener: (change: RosterChange) => void): void
}

/** The libp2p identity of a node: its Ed25519 key and nothing else. */
export function peerIdOf(publicKey: NodePublicKey): PeerId {
  return peerIdFromPublicKey(publicKeyFromRaw(publicKey))
}

/**
 * The roster without this node; all of `nodes` are members.
 * @throws KmsError `bad-multiaddr` when an address does not parse or names another identity, `roster-conflict`
 */
export function createRoster(nodes: readonly ClusterNode[], self: ParticipantIndex): Roster {
  let byId = new Map<string, RosterPeer>()
  let byIndex = new Map<number, RosterPeer>()
  let entries: readonly RosterEntry[] = []
  const listeners: ((change: RosterChange) => void)[] = []
  const set = (given: readonly RosterEntry[]): RosterChange => {
    const others = given.filter(({ node }) => node.index !== self)
    const peers = others.map(peerOf)
    const before = byIndex
    const ids = new Map(peers.map((peer) => [peer.peerId.toString(), peer]))
    const indices = new Map<number, RosterPeer>(peers.map((peer) => [peer.index, peer]))
    if (ids.size !== peers.length || indices.size !== peers.length)
      throw netError('roster-conflict', 'two nodes share an index or an identity', {
        data: { indices: peers.map(({ index }) => index) },
      })
    entries = others
    byId = ids
    byIndex = indices
    const change = changeBetween(before, indices)
    for (const listener of listeners) listener(change)
    return change
  }
  set(nodes.map((node) => ({ node, role: 'member' })))
  return {
    get peers() {
      return [...byIndex.values()]
    },
    get entries() {
      return entries
    },
    byPeerId: (peerId) => byId.get(peerId.toString()),
    byIndex: (index) => byIndex.get(index),
    isMember: (peerId) => byId.get(peerId.toString())?.role === 'member',
    set,
    onChange: (listener) => {
      listeners.push(listener)
    },
  }
}

function changeBetween(before: ReadonlyMap<number, RosterPeer>, after: ReadonlyMap<number, RosterPeer>): RosterChange {
  const stays = (peer: RosterPeer, others: ReadonlyMap<number, RosterPeer>): boolean => {
    const other = others.get(peer.index)
    return other !== undefined && other.role === peer.role && equalBytes(other.publicKey, peer.publicKey)
  }
  return {
    removed: [...before.values()].filter((peer) => !stays(peer, after)),
    added: [...after.values()].filter((peer) => !stays(peer, before)),
    updated: [...after.values()].filter(
      (peer) => stays(peer, before) && describe(peer) !== describe(before.get(peer.index)),
    ),
  }
}

const describe = (peer: RosterPeer | undefined): string => JSON.stringify([peer?.name, peer?.addresses.map(String)])

function peerOf({ node, role }: RosterEntry): RosterPeer {
  const { index, name, publicKey } = node
  const peerId = peerIdOf(publicKey)
  const addresses = node.multiaddrs.map((address) => fullAddress(address, peerId, name))
  return { index, name, role, publicKey, peerId, addresses }
}

function fullAddress(text: string, peerId: PeerId, name: string): Multiaddr {
  const address = parseAddress(text, name)
  const named = address.getComponents().find((component) => component.name === 'p2p')?.value
  if (named === undefined) return address.encapsulate(`/p2p/${peerId.toString()}`)
  if (named !== peerId.toString())
    throw netError('bad-multiaddr', `the address ${text} of node ${name} names another identity`, {
      data: { address: text, name },
    })
  return address
}

function parseAddress(text: string, name: string): Multiaddr {
  try {
    return multiaddr(text)
  } catch (cause) {
    throw netError('bad-multiaddr', `the address ${text} of node ${name} does not parse`, {
      data: { address: text, name },
      cause,
    })
  }
}
