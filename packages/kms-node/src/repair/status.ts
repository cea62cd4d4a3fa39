import { bytesKey, type RepairPhase, type RepairRefusal, type VerifiedKey } from '@tkms/dkg'

export interface NamedNode {
  readonly index: number
  readonly name: string
}

/** One repair as operators see it. Public. */
export interface RepairStatus {
  /** `0x..`: of the request at a helper, of the sharing at the node that lost its share. */
  readonly id: string
  readonly role: 'recoverer' | 'helper'
  readonly keyName: string
  readonly generation: number
  readonly epoch: number
  /** Whose share is repaired. */
  readonly recoverer: NamedNode
  readonly phase: RepairPhase
  /** Whose contribution or sum is not here yet. */
  readonly missing: readonly NamedNode[]
  readonly refusals: readonly { readonly node: NamedNode; readonly reason: RepairRefusal }[]
  /** Unix seconds: since when it stands like this. */
  readonly since: number
  /** This node could not go on with it, for example because its disk is full: it waits for its operator. */
  readonly interrupted?: boolean
  /** How it ended. */
  readonly end?: string
  /** What the operator does next. */
  readonly advice?: string
}

export const hexId = (bytes: Uint8Array): string => `0x${bytesKey(bytes)}`

const names = (nodes: readonly NamedNode[]): string => nodes.map(({ name, index }) => `${name} (${index})`).join(', ')

/** One sentence on what to do about a repair that waits. */
export function adviseOnRepair(status: Omit<RepairStatus, 'advice'>, command: string): string | undefined {
  const { role, phase, id, missing, refusals, recoverer, interrupted } = status
  const short = id.slice(0, 18)
  if (interrupted === true)
    return role === 'helper'
      ? `This node could not go on with it: see its log. When the cause is mended, ${recoverer.name} asks again: there, ${command} repair retry`
      : `This node could not go on with it: see its log. When the cause is mended: ${command} repair retry ${short}`
  if (role === 'helper' && phase === 'waiting')
    return (
      `${recoverer.name} says that it lost its share. Ask its operator by another channel whether that is so: whoever holds its node key ` +
      `and not its store could ask too. Then: ${command} repair approve ${short}, or repair deny ${short}`
    )
  if (role === 'helper' || phase === 'complete' || phase === 'done') return undefined
  if (phase === 'stuck') return `Too few nodes are left to help. When they can again: ${command} repair retry ${short}`
  const waiting = refusals.filter(({ reason }) => reason === 'waiting').map(({ node }) => node)
  const silent = missing.filter(({ index }) => !refusals.some(({ node }) => node.index === index))
  const parts = [
    waiting.length > 0 && `${names(waiting)} must approve: there, ${command} repair status shows the request`,
    silent.length > 0 &&
      `${names(silent)} did not answer yet: start it, or ask another node instead: ${command} repair replace ${short} NAME`,
  ].filter((part) => part !== false)
  return parts.length === 0 ? undefined : `${parts.join('. ')}.`
}

export const aboutKey = ({
  keyName,
  generation,
  epoch,
}: VerifiedKey): Pick<RepairStatus, 'keyName' | 'generation' | 'epoch'> => ({ keyName, generation, epoch })
