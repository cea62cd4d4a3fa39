import { type ClusterNode, formatClusterNode, parseClusterNode } from '@tkms/dkg'
import type { tkms } from '@tkms/proto'
import { isKmsError } from '../errors.ts'
import { netError } from './errors.ts'

/**
 * An entry of the address book as a proposal carries it (proto/tkms/v1/ceremony.proto, NodeEntry). Its revision stays here: what a peer
 * says is the first word about a node, and gives way to any file of the operator.
 */
export function encodeNodeEntry(node: ClusterNode): tkms.v1.NodeEntry.$Properties {
  const { publicKey, revision: _revision, ...entry } = node
  return { ...entry, multiaddrs: [...node.multiaddrs], ed25519: publicKey }
}

/** By the rules of the cluster file. @throws KmsError `bad-frame` */
export function decodeNodeEntry(entry: tkms.v1.NodeEntry.$Properties): ClusterNode {
  const tls = entry.tlsSpkiSha256 ?? new Uint8Array(0)
  try {
    return parseClusterNode({
      index: entry.index ?? 0,
      name: entry.name ?? '',
      ed25519: hex(entry.ed25519 ?? new Uint8Array(0)),
      multiaddrs: entry.multiaddrs ?? [],
      url: entry.url ?? '',
      ...(tls.length > 0 && { tlsSpkiSha256: hex(tls) }),
    })
  } catch (cause) {
    if (!isKmsError(cause)) throw cause
    throw netError('bad-frame', 'an address book entry in a proposal is refused', { cause })
  }
}

/** Whether two entries say the same. */
export const sameNodeEntry = (left: ClusterNode, right: ClusterNode): boolean =>
  JSON.stringify(formatClusterNode(left)) === JSON.stringify(formatClusterNode(right))

const hex = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString('hex')}`
