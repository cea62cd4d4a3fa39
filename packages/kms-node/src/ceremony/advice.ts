import { COMMAND } from '../command.ts'
import { adviseToLeaveOut, isShortOfMembers, otherWay } from './other-way.ts'
import { type CeremonyStatus, isHeldBack, type NamedMember } from './status.ts'

/** A ceremony that has made no progress for this long is worth giving up on. */
const LONG_WAIT_S = 900

export interface AdviceContext {
  readonly self: number
  readonly nowS: number
  /** Whether a connection to this member is up; true for this node. */
  readonly connected: (index: number) => boolean
  /** Of this node, for commands that are run here. */
  readonly dataDir: string
  /** This node is in the committee that holds the key now, without a share. */
  readonly lacksShare: boolean
}

const names = (members: readonly NamedMember[]): string => members.map(({ name }) => name).join(', ')
const idOf = ({ ceremony }: CeremonyStatus): string => ceremony.slice(0, 18)
const hereIn = ({ dataDir }: AdviceContext): string => `--data-dir ${dataDir}`

/** What the operator can do now: who is missing, and the exact command. Undefined where there is nothing to do. */
export function adviseOn(status: CeremonyStatus, context: AdviceContext): string | undefined {
  if (isHeldBack(status)) return adviseOnRestored(status, status.awaited, context)
  switch (status.stage) {
    case 'proposed':
      return adviseOnProposal(status, context)
    case 'authorizing':
      return adviseOnAuthorization(status, context)
    case 'running':
      return status.phase === 'leaving' ? adviseOnLeaving(status, context) : adviseOnMissing(status, context)
    case 'left':
      return status.phase === 'leaving' ? adviseOnLeaving(status, context) : adviseOnLeft(status, context)
    case 'complete':
      return adviseOnEnd(status, context)
    case 'failed':
      return 'read the log of this node, then start it again'
    case 'expired':
      return `propose it again, with more time: ${COMMAND} ceremony propose --help`
    case 'superseded':
      return context.lacksShare ? repair(status, context) : undefined
    case 'abandoned':
      return undefined
  }
}

/** It goes on by itself with their answers. */
function adviseOnRestored(status: CeremonyStatus, awaited: readonly NamedMember[], context: AdviceContext): string {
  const away = awaited.filter(({ index }) => !context.connected(index))
  const isOld = ({ index }: NamedMember): boolean =>
    status.old?.members.some((member) => member.index === index) === true
  const head = `a backup of this node was restored: it signs nothing before enough of ${names(awaited)} have told what it promised since`
  const without = `if ${names(away)} will not come back, compare with the other operators that this node agreed to no other ceremony of this key since the backup, then here: ${COMMAND} ceremony approve ${idOf(status)} --degraded ${hereIn(context)}`
  return [head, ...start(away), ...(away.some(isOld) ? [without] : [])].join('. ')
}

function adviseOnProposal(status: CeremonyStatus, context: AdviceContext): string {
  const { abandonedBy = [], quorum } = status
  const command = (word: string): string => `${COMMAND} ceremony ${word} ${idOf(status)} ${hereIn(context)}`
  if (abandonedBy.length === 0) return `to let this node take part: ${command('approve')}`
  return `${names(abandonedBy)} gave it up, ${abandonedBy.length} of the ${quorum} that it takes: to give it up here too: ${command('abandon')}`
}

const repair = ({ keyName, generation }: CeremonyStatus, context: AdviceContext): string =>
  `this node is in the committee of ${keyName} generation ${generation} and has no share of it: ${COMMAND} repair ${keyName} --generation ${generation} ${hereIn(context)}`

function adviseOnEnd(status: CeremonyStatus, context: AdviceContext): string | undefined {
  const { kind, keyName, old, members, holdsShare } = status
  const isHere = (list: readonly NamedMember[] = []): boolean => list.some(({ index }) => index === context.self)
  if (kind === 'import' && isHere(old?.members))
    return `the copy that was imported still is the whole key: give the committee new shares now (${COMMAND} ceremony propose --refresh ${keyName} ${hereIn(context)}), then erase the key where it came from, with every backup of it`
  if (holdsShare === false && isHere(members)) return repair(status, context)
  return undefined
}

function adviseOnAuthorization(status: CeremonyStatus, context: AdviceContext): string | undefined {
  const { authorization } = status
  if (authorization === undefined) return undefined
  const { have, want, least, missing } = authorization
  const head = `the old committee has authorized it ${have} times of ${want}; missing: ${names(missing)}`
  const away = missing.filter(({ index }) => !context.connected(index))
  const reachable = have + missing.length - away.length
  const lost = reachable < want && status.degraded !== true
  if (lost && reachable >= least && isShortOfMembers(status, context.connected))
    return [head, ...start(away), adviseToLeaveOut(status, context, { degraded: true })].join('. ')
  const needed = reachable < want ? missing : missing.filter(({ index }) => context.connected(index))
  const sentences = [head, ...askThem(needed, context, approveThere(status))]
  if (lost && have >= least)
    sentences.push(
      `if ${names(away)} will not come back, ${have} are enough for a degraded authorization: compare the new committee by other means, then on every node: ${COMMAND} ceremony approve ${idOf(status)} --degraded --data-dir DIR`,
    )
  return sentences.join('. ')
}

const approveThere = (status: CeremonyStatus): string => `${COMMAND} ceremony approve ${idOf(status)} --data-dir DIR`
const abandonThere = (status: CeremonyStatus): string => `${COMMAND} ceremony abandon ${idOf(status)} --data-dir DIR`

function adviseOnMissing(status: CeremonyStatus, context: AdviceContext): string | undefined {
  const { missing = [], phase, since } = status
  if (missing.length === 0) return undefined
  const sentences = [`waiting for ${names(missing)}`, ...askMissing(status, missing, context)]
  const begins = phase === 'joining' || phase === 'checking'
  if (begins && context.nowS > status.notAfter) sentences.push('its time to begin has run out')
  if (since !== undefined && context.nowS - since > LONG_WAIT_S)
    sentences.push(`no progress for ${Math.floor((context.nowS - since) / 60)} minutes: ${giveUp(status, context)}`)
  return sentences.join('. ')
}

const giveUp = (status: CeremonyStatus, context: AdviceContext): string =>
  isShortOfMembers(status, context.connected)
    ? otherWay(status, context)
    : `to give it up, on ${status.quorum} of its members: ${abandonThere(status)}`

/** Whoever answers STATUS need not approve; who has begun already waits for others as this node does. */
function askMissing(status: CeremonyStatus, missing: readonly NamedMember[], context: AdviceContext): string[] {
  const { phase, begun = [], leader, viewLimitS, quorum, members } = status
  const isMember = ({ index }: NamedMember): boolean => members.some((member) => member.index === index)
  const away = missing.filter(({ index }) => !context.connected(index))
  const there = missing.filter(({ index }) => context.connected(index))
  const gone = away.filter((one) => !isMember(one))
  const sentences = start(away.filter(isMember))
  if (gone.length > 0) sentences.push(`${names(gone)} leaves and need not come back: it goes on without it by itself`)
  if (phase === 'joining') {
    const hasBegun = ({ index }: NamedMember): boolean => begun.some((one) => one.index === index)
    const [waiting, silent] = [there.filter(hasBegun), there.filter((one) => !hasBegun(one))]
    if (waiting.length > 0)
      sentences.push(`${names(waiting)} agreed already and may wait for others: nothing to do there`)
    if (silent.length > 0) sentences.push(`on ${names(silent)}: ${approveThere(status)}`)
  } else if (there.length > 0)
    sentences.push(
      `${names(there)} can be reached and may be busy: ${phase === 'checking' ? 'it goes on with their answer' : 'the next view begins by itself'}`,
    )
  const leads = leader !== undefined && away.some(({ index }) => index === leader.index)
  if (leads && phase !== 'checking' && !isShortOfMembers(status, context.connected))
    sentences.push(
      `${leader.name} leads this view: without it the others go on with the next leader by themselves, at most ${viewLimitS ?? 0} seconds after ${quorum} of them joined`,
    )
  return sentences
}

/** Not signed yet: without STATUS an ABANDON could contradict what this node signed before its disk was set back (protocol 5). */
function adviseOnLeaving(status: CeremonyStatus, context: AdviceContext): string {
  const { missing = [], have = 1, quorum } = status
  const away = missing.filter(({ index }) => !context.connected(index))
  return [
    `given up here; the others are told when ${quorum - have} more of ${names(missing)} have answered: this node must know first what it signed before`,
    ...start(away),
    ...(isShortOfMembers(status, context.connected) ? [otherWay(status, context)] : []),
  ].join('. ')
}

function adviseOnLeft(status: CeremonyStatus, context: AdviceContext): string | undefined {
  const { missing = [], quorum, have = 0 } = status
  if (missing.length === 0) return undefined
  const away = missing.filter(({ index }) => !context.connected(index))
  const there = missing.filter(({ index }) => context.connected(index))
  return [
    `given up by ${have} of the ${quorum} members that it takes`,
    ...(there.length === 0
      ? []
      : [
          `on ${names(there)}, unless it was done there: ${abandonThere(status)}; the others hear of it once that node has had answers of ${quorum - 1} members`,
        ]),
    ...start(away),
    ...(isShortOfMembers(status, context.connected) ? [otherWay(status, context)] : []),
  ].join('. ')
}

const start = (away: readonly NamedMember[]): string[] =>
  away.length === 0
    ? []
    : [`start ${names(away)} (${COMMAND} start --data-dir DIR) or mend the network: no connection from here`]

/** Nodes that are away must be started; those that are there wait for their operators. */
function askThem(missing: readonly NamedMember[], context: AdviceContext, command: string): string[] {
  const away = missing.filter(({ index }) => !context.connected(index))
  const there = missing.filter(({ index }) => context.connected(index))
  return [...start(away), ...(there.length > 0 ? [`on ${names(there)}: ${command}`] : [])]
}
