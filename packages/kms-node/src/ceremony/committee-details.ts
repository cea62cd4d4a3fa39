import { bytesKey, type CeremonySpec, type ClusterNode, configHash, memberAt } from '@tkms/dkg'
import type { NamedMember } from './status.ts'

/** A member as its operator can confirm it: the key is what X binds, name and addresses are what the address book says. */
export interface CommitteeMember extends NamedMember {
  /** 0x and 64 hex digits, as on its node card. */
  readonly ed25519: string
  readonly url?: string
  readonly multiaddrs?: readonly string[]
  /** It is not in the committee before. */
  readonly joins: boolean
}

/** The new committee, to compare with the node cards and with what other operators see. */
export interface CommitteeDetails {
  /** TH("config", newConfig): 0x and 64 hex digits. */
  readonly configHash: string
  /** Of the committee before, in a resharing. */
  readonly oldConfigHash?: string
  readonly members: readonly CommitteeMember[]
}

const hex = (bytes: Uint8Array): string => `0x${bytesKey(bytes)}`

/** @param nodes where an index stands twice the first counts */
export function committeeDetails(spec: CeremonySpec, nodes: readonly ClusterNode[]): CommitteeDetails {
  const old = spec.kind === 'reshare' ? spec.oldConfig : undefined
  return {
    configHash: hex(configHash(spec.newConfig)),
    ...(old !== undefined && { oldConfigHash: hex(configHash(old)) }),
    members: spec.newConfig.members.map(({ index, publicKey }) => {
      const node = nodes.find((known) => known.index === index)
      return {
        index,
        name: node?.name ?? `node ${index}`,
        ed25519: hex(publicKey),
        ...(node !== undefined && { url: node.url, multiaddrs: node.multiaddrs }),
        joins: old !== undefined && memberAt(old, index) === undefined,
      }
    }),
  }
}
