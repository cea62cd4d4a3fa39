import { COMMAND } from '../command.ts'
import type { CeremonyStatus, NamedMember } from './status.ts'

interface Here {
  readonly connected: (index: number) => boolean
  readonly dataDir: string
}

/** Whether so many members of the new committee are away that it can neither end nor be given up by a quorum. */
export const isShortOfMembers = ({ members, quorum }: CeremonyStatus, connected: (index: number) => boolean): boolean =>
  members.filter(({ index }) => connected(index)).length < quorum

/** How the key goes on where no quorum can give this ceremony up. */
export function otherWay(
  status: Pick<CeremonyStatus, 'kind' | 'keyName' | 'quorum'>,
  { dataDir }: Pick<Here, 'dataDir'>,
): string {
  const { kind, keyName, quorum } = status
  const propose = (options: string): string => `${COMMAND} ceremony propose ${options} --data-dir ${dataDir}`
  const when = `where fewer than ${quorum} can give it up`
  if (kind === 'reshare')
    return `${when}, its next attempt takes its place: ${propose(`--reshare ${keyName} --supersede`)} with --add, --remove or --threshold, or ${propose(`--refresh ${keyName} --supersede`)}`
  const again = kind === 'keygen' ? `--name ${keyName}` : `--import ${keyName} --key-file FILE`
  return `${when}, propose it again, which takes the next generation: ${propose(again)}`
}

/** Members of the new committee that are lost keep it from beginning, whatever the old one authorizes: they must be left out. */
export function adviseToLeaveOut(
  status: CeremonyStatus,
  { connected, dataDir }: Here,
  { degraded }: { readonly degraded: boolean },
): string {
  const { members, n, t, quorum, keyName } = status
  const lost = members.filter(({ index }) => !connected(index))
  const left = n - lost.length
  const few = Math.max(t + 1, 3) - left
  const more = few > 0 ? ` --add ${'CARD '.repeat(few).trim()}` : ''
  const note = few > 0 ? ` (${left} members are too few for t = ${t})` : ''
  return (
    `the new committee cannot begin either: it needs ${quorum} of its ${n} members. If ${lost.map(({ name }) => name).join(', ')} will not come back, ` +
    `leave them out${note}: ${COMMAND} ceremony propose --reshare ${keyName} --remove ${lost.map(argument).join(' ')}${more}${degraded ? ' --degraded' : ''} --supersede --data-dir ${dataDir}; ` +
    `then on the others: ${COMMAND} ceremony approve ID${degraded ? ' --degraded' : ''} --data-dir DIR`
  )
}

/** A node without a known name goes by its index. */
const argument = ({ name, index }: NamedMember): string => (/\s/.test(name) ? String(index) : name)
