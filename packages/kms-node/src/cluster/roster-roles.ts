import { type Cluster, type ClusterNode, type CommitteeConfig, equalBytes } from '@tkms/dkg'
import type { RosterEntry } from '../net/roster.ts'
import { certifiedCommittees } from './address-book.ts'

/** The committees that count at this node now. */
export interface LivingCommittees {
  /** Of the newest sharing of every key, and of every sharing that is still retiring here. */
  readonly current: readonly CommitteeConfig[]
  /** Old and new committee of every undecided ceremony that is approved here. */
  readonly open: readonly CommitteeConfig[]
}

/**
 * Who of the address book may do what on the ceremony protocol (row 30). Members are in a living committee, or were in none yet:
 * candidates. While there is no key, the genesis committee lives. Who was in a committee once and is in none now is a former member.
 */
export function rosterOf(cluster: Cluster, { current, open }: LivingCommittees): readonly RosterEntry[] {
  const living = [...(current.length > 0 ? current : [cluster.config]), ...open]
  const past = [cluster.config, ...cluster.certificates.flatMap(certifiedCommittees)]
  return cluster.nodes.map((node) => ({ node, role: isIn(living, node) || !isIn(past, node) ? 'member' : 'former' }))
}

const isIn = (committees: readonly CommitteeConfig[], node: ClusterNode): boolean =>
  committees.some(({ members }) =>
    members.some(({ index, publicKey }) => index === node.index && equalBytes(publicKey, node.publicKey)),
  )
