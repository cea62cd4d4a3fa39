import { type CeremonyStatus, type CommitteeSummary, isHeldBack, type NamedMember } from '../ceremony/status.ts'
import { paint } from './output.ts'

const WHAT: Readonly<Record<CeremonyStatus['kind'], string>> = {
  keygen: 'a new key',
  reshare: 'new shares of an existing key',
  import: 'an existing key, dealt out by one node',
}

/** What an operator compares before he approves: one line each. */
export function describeProposal(status: CeremonyStatus): readonly string[] {
  const { keyName, generation, epoch, attempt, kind, old, n, t, members, proposedBy, notAfter } = status
  const now: CommitteeSummary = { n, t, members }
  const lines = [
    `${paint('bold', keyName)} generation ${generation}, epoch ${epoch}, attempt ${attempt}: ${WHAT[kind]}`,
    ...(proposedBy === undefined ? [] : [`proposed or passed on by ${proposedBy.name}`]),
    ...(old === undefined || kind === 'import' ? [] : [`old committee: ${describeCommittee(old)}`]),
    ...(old === undefined || kind !== 'import' ? [] : [`imported by ${names(old.members)}`]),
    `${old === undefined ? 'committee' : 'new committee'}: ${describeCommittee(now)}`,
  ]
  if (kind === 'reshare' && old !== undefined) lines.push(describeChange(old, now))
  if (status.lowersThreshold) lines.push(paint('yellow', `lowers the threshold from ${old?.t ?? t} to ${t}`))
  lines.push(...describeMembers(status))
  lines.push(`nodes may begin until ${new Date(notAfter * 1000).toISOString()}`)
  return lines
}

/** What other operators and the node cards must say too. */
function describeMembers({ committee }: CeremonyStatus): readonly string[] {
  if (committee === undefined) return []
  const { configHash, oldConfigHash, members } = committee
  return [
    `committee hash ${configHash}${oldConfigHash === undefined || oldConfigHash === configHash ? '' : `, before ${oldConfigHash}`}`,
    ...members.map(({ index, name, ed25519, url, multiaddrs = [], joins }) =>
      [
        `  ${index} ${name}${joins ? ' (joins)' : ''}`,
        `ed25519 ${ed25519}`,
        ...(url === undefined ? [] : [url]),
        ...multiaddrs,
      ].join(' '),
    ),
  ]
}

const names = (members: readonly NamedMember[]): string => members.map(({ name }) => name).join(', ')

const describeCommittee = ({ n, t, members }: CommitteeSummary): string => `${t} of ${n}: ${names(members)}`

function describeChange(before: CommitteeSummary, after: CommitteeSummary): string {
  const only = (one: CommitteeSummary, other: CommitteeSummary): string =>
    names(one.members.filter(({ index }) => !other.members.some((member) => member.index === index)))
  const [joining, leaving] = [only(after, before), only(before, after)]
  if (joining === '' && leaving === '') return 'the same members: a refresh'
  return [joining && `joining: ${joining}`, leaving && `leaving: ${leaving}`].filter(Boolean).join('; ')
}

/** One line: where a ceremony stands. */
export function describeStatus(status: CeremonyStatus): string {
  const { keyName, generation, epoch, stage, kind } = status
  const head = `${paint('bold', keyName)} generation ${generation} epoch ${epoch} ${kind}`
  const id = paint('dim', status.ceremony.slice(0, 18))
  const faults = status.faults
    .map(({ culprit, kind: fault, summary }) => paint('red', `; ${culprit.name} (${fault}): ${summary}`))
    .join('')
  if (stage === 'complete') return `${id} ${head}: ${paint('green', 'complete')} keyId ${status.keyId ?? ''}${faults}`
  return `${id} ${head}: ${describeStage(status)}${faults}`
}

function describeStage(status: CeremonyStatus): string {
  const { stage, phase, view, have = 0, want = 0, missing, authorization, reason, since, quorum } = status
  const waiting = names(missing ?? authorization?.missing ?? [])
  if (isHeldBack(status))
    return `waiting for ${names(status.awaited)} to tell what this node promised before it was restored from a backup`
  const count = (done: number | undefined, of: number | undefined): string => (of ? ` ${done ?? 0}/${of}` : '')
  const at = since === undefined ? '' : ` since ${new Date(since * 1000).toISOString()}`
  const why = reason === undefined ? '' : `, ${reason}`
  const waits = waiting === '' ? '' : `, waiting${at} for ${waiting}`
  if (stage === 'authorizing') return `authorizing${count(authorization?.have, authorization?.want)}${waits}${why}`
  if (phase === 'leaving')
    return `given up here, told to the others when ${quorum - 1} of them have answered, ${have - 1} so far${waits}${why}`
  if (phase === 'left' && want > 0) return `left, given up by ${have} of the ${quorum} that it takes${waits}${why}`
  if ((stage !== 'running' && stage !== 'left') || phase === undefined) return `${paint('yellow', stage)}${why}`
  const inView = view === undefined || view === 0 ? '' : ` in view ${view}`
  return `${phase}${inView}${count(have, want)}${waits}${why}`
}
