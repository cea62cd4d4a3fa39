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
  /** `0x..`, at the node that lost its share: the request of the try under way, which helpers see as the id. */
  readonly request?: string
  readonly keyName: string
  readonly generation: number
  readonly epoch: number
  /** Whose share is repaired. */
  readonly recoverer: NamedNode
  readonly phase: RepairPhase
  /** Whose contribution or sum is not here yet. */
  readonly missing: readonly NamedNode[]
  /** At the node that lost its share: who contributed, and waits for the others as this node does. */
  readonly approved: readonly NamedNode[]
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

export interface RepairAdviceContext {
  readonly command: string
  /** Of this node, for commands that are run here. */
  readonly dataDir: string
  /** Whether a connection to this node is up. */
  readonly connected: (index: number) => boolean
}

/** What to do about a repair that waits. */
export function adviseOnRepair(
  status: Omit<RepairStatus, 'advice'>,
  { command, dataDir, connected }: RepairAdviceContext,
): string | undefined {
  const { role, phase, id, recoverer, interrupted } = status
  const short = id.slice(0, 18)
  const here = (words: string): string => `${command} repair ${words} --data-dir ${dataDir}`
  if (interrupted === true)
    return role === 'helper'
      ? `This node could not go on with it: see its log. When the cause is mended, ${recoverer.name} asks again: there, ${command} repair retry ID --data-dir DIR`
      : `This node could not go on with it: see its log. When the cause is mended: ${here(`retry ${short}`)}`
  if (role === 'helper' && phase === 'waiting')
    return (
      `${recoverer.name} says that it lost its share. Ask its operator by another channel whether that is so, and whether ${short} is the request that its repair status ` +
      `shows: whoever holds its node key and not its store could ask too. Then: ${here(`approve ${short}`)}, or ${here(`deny ${short}`)}`
    )
  if (role === 'helper' || phase === 'complete' || phase === 'done') return undefined
  if (phase === 'stuck') return `Too few nodes are left to help. When they can again: ${here(`retry ${short}`)}`
  return adviseOnHelpers(status, { command, connected, replace: (name) => here(`replace ${short} ${name}`) })
}

/** Who approved waits for those who did not: nothing more is asked of its operator. */
function adviseOnHelpers(
  { missing, approved, refusals, request }: Omit<RepairStatus, 'advice'>,
  {
    command,
    connected,
    replace,
  }: Pick<RepairAdviceContext, 'command' | 'connected'> & { readonly replace: (name: string) => string },
): string | undefined {
  const isIn = (list: readonly NamedNode[], { index }: NamedNode): boolean => list.some((node) => node.index === index)
  const left = missing.filter((node) => !isIn(approved, node))
  // Without one that contributed, whoever is missing did and is only slow, or is away.
  const open = left.length > 0 ? left : missing.filter(({ index }) => !connected(index))
  if (open.length === 0) return undefined
  const asked = refusals.filter(({ reason }) => reason === 'waiting').map(({ node }) => node)
  const away = open.filter(({ index }) => !connected(index))
  const there = open.filter(({ index }) => connected(index))
  const [waiting, silent] = [there.filter((node) => isIn(asked, node)), there.filter((node) => !isIn(asked, node))]
  const done = approved.filter((node) => !isIn(open, node))
  const instead = (nodes: readonly NamedNode[]): string => nodes.map(({ name }) => replace(name)).join(', ')
  const parts = [
    done.length > 0 && `${names(done)} approved and wait for ${names(open)}`,
    waiting.length > 0 &&
      `${names(waiting)} must approve${request === undefined ? '' : ` request ${request.slice(0, 18)}`}: there, ${command} repair status --data-dir DIR shows it`,
    silent.length > 0 && `${names(silent)} did not answer yet. To ask another node instead: ${instead(silent)}`,
    away.length > 0 &&
      `${names(away)}: no connection from here; start it, or ask another node instead: ${instead(away)}`,
  ].filter((part) => part !== false)
  return `${parts.join('. ')}.`
}

export const aboutKey = ({
  keyName,
  generation,
  epoch,
}: VerifiedKey): Pick<RepairStatus, 'keyName' | 'generation' | 'epoch'> => ({ keyName, generation, epoch })
