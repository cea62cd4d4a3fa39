import {
  attempt,
  bytesKey,
  type CeremonySpec,
  type Cluster,
  ceremonyId,
  configHash,
  decodeSpec,
  equalBytes,
  type KeygenSpec,
  type ParticipantIndex,
} from '@tkms/dkg'
import { ceremonyError } from './errors.ts'

/** Proposals of one member that wait for the operator; the oldest goes first. */
const MAX_PENDING_PER_PEER = 16
/** A proposal that stays open longer than this is refused. */
const MAX_LIFETIME_S = 90 * 24 * 3600

/** An X that a member proposed and this node's operator has not approved. */
export interface PendingProposal {
  readonly spec: KeygenSpec
  readonly proposedBy: ParticipantIndex
}

export interface Proposals {
  /** False when it was already known. @throws KmsError `bad-proposal`, `expired` */
  receive(from: ParticipantIndex, specBytes: Uint8Array): PendingProposal | undefined
  get(idHex: string): PendingProposal | undefined
  remove(idHex: string): void
  list(): readonly PendingProposal[]
}

/** Keeps proposals in memory, bounded per member; whoever proposed sends them again on every connection. */
export function createProposals(cluster: Cluster, nowS: () => number): Proposals {
  const pending = new Map<string, PendingProposal & { readonly holders: Set<ParticipantIndex> }>()
  const dropExpired = (): void => {
    for (const [id, { spec }] of pending) if (spec.notAfter < nowS()) pending.delete(id)
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
    receive: (from, bytes) => {
      dropExpired()
      const spec = attempt(() => decodeSpec(bytes))
      if (spec === undefined) throw ceremonyError('bad-proposal', 'this is not a ceremony specification')
      const checked = checkSpec(cluster, spec, nowS())
      const id = bytesKey(ceremonyId(checked))
      const known = pending.get(id)
      if (known?.holders.has(from) === true) return undefined
      makeRoom(from)
      if (known !== undefined) {
        known.holders.add(from)
        return undefined
      }
      const proposal = { spec: checked, proposedBy: from, holders: new Set([from]) }
      pending.set(id, proposal)
      return proposal
    },
    get: (id) => {
      dropExpired()
      return pending.get(id)
    },
    remove: (id) => {
      pending.delete(id)
    },
    list: () => {
      dropExpired()
      return [...pending.values()]
    },
  }
}

/**
 * A node takes part in a key generation of its own cluster with its own committee, byte for byte, and in nothing else.
 * @throws KmsError `bad-proposal`, `expired`
 */
export function checkSpec(cluster: Cluster, spec: CeremonySpec, nowS: number): KeygenSpec {
  const refuse = (problem: string): never => {
    throw ceremonyError('bad-proposal', problem)
  }
  if (!equalBytes(spec.clusterId, cluster.config.clusterId)) return refuse('it belongs to another cluster')
  if (spec.kind !== 'keygen') return refuse('only key generations can be approved')
  if (spec.attempt !== 0) return refuse('a key generation has one attempt: propose the next generation instead')
  if (!equalBytes(configHash(spec.newConfig), cluster.configHash)) return refuse('it names another committee')
  if (spec.notAfter < nowS) throw ceremonyError('expired', 'this proposal has expired')
  if (spec.notAfter > nowS + MAX_LIFETIME_S) return refuse('it stays open for too long')
  return spec
}
