import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import type { PeerId } from '@libp2p/interface'
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import type { Cluster, NodePublicKey, ParticipantIndex } from '@tkms/dkg'
import { netError } from './errors.ts'

/** A member of the committee as the network sees it. */
export interface RosterPeer {
  readonly index: ParticipantIndex
  readonly name: string
  readonly peerId: PeerId
  /** Each ends in `/p2p/<peerId>`, so a dial proves whom it reached. */
  readonly addresses: readonly Multiaddr[]
}

/** The other members, found by index or by the peer id that Noise has proven. */
export interface Roster {
  readonly peers: readonly RosterPeer[]
  byPeerId(peerId: PeerId): RosterPeer | undefined
  byIndex(index: number): RosterPeer | undefined
}

/** The libp2p identity of a node: its Ed25519 key and nothing else. */
export function peerIdOf(publicKey: NodePublicKey): PeerId {
  return peerIdFromPublicKey(publicKeyFromRaw(publicKey))
}

/**
 * The roster of a cluster without this node.
 * @throws KmsError `bad-multiaddr` when an address of the cluster file does not parse or names another identity
 */
export function createRoster(cluster: Cluster, self: ParticipantIndex): Roster {
  const peers = cluster.nodes
    .filter((node) => node.index !== self)
    .map((node) => {
      const peerId = peerIdOf(node.publicKey)
      return {
        index: node.index,
        name: node.name,
        peerId,
        addresses: node.multiaddrs.map((address) => fullAddress(address, peerId)),
      }
    })
  const byId = new Map(peers.map((peer) => [peer.peerId.toString(), peer]))
  const byIndex = new Map<number, RosterPeer>(peers.map((peer) => [peer.index, peer]))
  return {
    peers,
    byPeerId: (peerId) => byId.get(peerId.toString()),
    byIndex: (index) => byIndex.get(index),
  }
}

function fullAddress(text: string, peerId: PeerId): Multiaddr {
  const address = parseAddress(text)
  const named = address.getComponents().find((component) => component.name === 'p2p')?.value
  if (named === undefined) return address.encapsulate(`/p2p/${peerId.toString()}`)
  if (named !== peerId.toString())
    throw netError('bad-multiaddr', 'an address in the cluster file names another identity', {
      data: { address: text },
    })
  return address
}

function parseAddress(text: string): Multiaddr {
  try {
    return multiaddr(text)
  } catch (cause) {
    throw netError('bad-multiaddr', 'an address in the cluster file does not parse', { data: { address: text }, cause })
  }
}
