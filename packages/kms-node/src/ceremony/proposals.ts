import {
  attempt,
  bytesKey,
  type CeremonySpec,
  type ClusterNode,
  ceremonyId,
  decodeSpec,
  type ParticipantIndex,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import { entriesOfMembers } from '../cluster/address-book.ts'
import { ceremonyError } from './errors.ts'

/** Proposals of one member that wait for the operator; the oldest goes first. */
const MAX_PENDING_PER_PEER = 16

/** An X as a member proposed it, with the addresses it named. */
export interface ReceivedProposal {
  readonly spec: Uint8Array
  readonly nodes: readonly ClusterNode[]
}

/** An X that a member proposed and this node's operator has not approved. */
export interface PendingProposal {
  readonly spec: CeremonySpec
  readonly nodes: readonly ClusterNode[]
  readonly proposedBy: ParticipantIndex
  /** Every member that proposed it here: who approved it says so on every connection. */
  readonly holders: ReadonlySet<ParticipantIndex>
}

export interface Proposals {
  /** False when it was already known. @throws KmsError `bad-proposal`, `expired`, `unknown-sharing` */
  receive(from: ParticipantIndex, proposal: ReceivedProposal): PendingProposal | undefined
  get(idHex: string): PendingProposal | undefined
  remove(idHex: string): void
  list(): readonly PendingProposal[]
}

export interface ProposalsParams {
  /** Whether this node could take part. @throws KmsError */
  readonly check: (spec: CeremonySpec, nodes: readonly ClusterNode[]) => void
  readonly nowS: () => number
}

/** Keeps proposals in memory, bounded per member; whoever proposed sends them again on every connection. */
export function createProposals({ check, nowS }: ProposalsParams): Proposals {
  const pending = new Map<string, PendingProposal & { readonly holders: Set<ParticipantIndex> }>()
  /** What has expired, or continues a sharing that meanwhile got another successor. */
  const dropStale = (): void => {
    for (const [id, { spec, nodes }] of pending)
      if (spec.notAfter < nowS() || isRefused(() => check(spec, nodes))) pending.delete(id)
  }
  /** Makes room for one more of this member; what another one proposed too stays for that one. */
  const makeRoom = (from: ParticipantIndex): void => {
    const own = [...pending].filter(([, { holders }]) => holders.has(from))
    const [oldest] = own
    if (own.length < MAX_PENDING_PER_PEER || oldest === undefined) return
    const [id, { holders }] = oldest
    holders.delete(from)
    if (holders.size === 0) pending.delete(id)
  }
  return {
    receive: (from, proposal) => {
      dropStale()
      const spec = attempt(() => decodeSpec(proposal.spec))
      if (spec === undefined) throw ceremonyError('bad-proposal', 'this is not a ceremony specification')
      const nodes = entriesOfMembers(spec.newConfig, proposal.nodes)
      check(spec, nodes)
      const id = bytesKey(ceremonyId(spec))
      const known = pending.get(id)
      if (known?.holders.has(from) === true) return undefined
      makeRoom(from)
      if (known !== undefined) {
        known.holders.add(from)
        return undefined
      }
      const received = { spec, nodes, proposedBy: from, holders: new Set([from]) }
      pending.set(id, received)
      return received
    },
    get: (id) => {
      dropStale()
      return pending.get(id)
    },
    remove: (id) => {
      pending.delete(id)
    },
    list: () => {
      dropStale()
      return [...pending.values()]
    },
  }
}

function isRefused(check: () => void): boolean {
  try {
    check()
    return false
  } catch (cause) {
    if (isKmsError(cause)) return true
    throw cause
  }
}
