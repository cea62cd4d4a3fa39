import { COMMAND } from '../command.ts'
import type { CeremonyStatus, NamedMember } from './status.ts'

/** A ceremony that has made no progress for this long is worth giving up on. */
const LONG_WAIT_S = 900

export interface AdviceContext {
  readonly self: number
  readonly nowS: number
  /** Whether a connection to this member is up; true for this node. */
  readonly connected: (index: number) => boolean
  /** Of this node, for commands that are run here. */
  readonly dataDir: string
}

const names = (members: readonly NamedMember[]): string => members.map(({ name }) => name).join(', ')

/** What the operator can do now: who is missing, and the exact command. Undefined where there is nothing to do. */
export function adviseOn(status: CeremonyStatus, context: AdviceContext): string | undefined {
  const { ceremony, stage } = status
  const id = ceremony.slice(0, 18)
  const here = `--data-dir ${context.dataDir}`
  switch (stage) {
    case 'proposed':
      return `to let this node take part: ${COMMAND} ceremony approve ${id} ${here}`
    case 'authorizing':
      return adviseOnAuthorization(status, context, id)
    case 'running':
    case 'left':
      return adviseOnMissing(status, context, id)
    case 'complete':
      return adviseOnEnd(status, context, here)
    case 'failed':
      return 'read the log of this node, then start it again'
    case 'expired':
      return `propose it again, with more time: ${COMMAND} ceremony propose --help`
    case 'superseded':
    case 'abandoned':
      return undefined
  }
}

function adviseOnEnd(
  { kind, keyName, old, members, holdsShare }: CeremonyStatus,
  { self }: AdviceContext,
  here: string,
) {
  const isHere = (list: readonly NamedMember[] = []): boolean => list.some(({ index }) => index === self)
  if (kind === 'import' && isHere(old?.members))
    return `the copy that was imported still is the whole key: give the committee new shares now (${COMMAND} ceremony propose --refresh ${keyName} ${here}), then erase the key where it came from, with every backup of it`
  if (holdsShare === false && isHere(members))
    return `this node has no share of it: ${COMMAND} repair ${keyName} ${here}`
  return undefined
}

function adviseOnAuthorization(status: CeremonyStatus, context: AdviceContext, id: string): string | undefined {
  const { authorization } = status
  if (authorization === undefined) return undefined
  const { have, want, least, missing } = authorization
  const sentences = [
    `the old committee has authorized it ${have} times of ${want}; missing: ${names(missing)}`,
    ...askThem(missing, context, `${COMMAND} ceremony approve ${id} --data-dir DIR`),
  ]
  const away = missing.filter(({ index }) => !context.connected(index))
  if (have >= least && have + missing.length - away.length < want && status.degraded !== true)
    sentences.push(
      `if ${names(away)} will not come back, ${have} are enough for a degraded authorization: compare the new committee by other means, then on every node: ${COMMAND} ceremony approve ${id} --degraded --data-dir DIR`,
    )
  return sentences.join('. ')
}

function adviseOnMissing(status: CeremonyStatus, context: AdviceContext, id: string): string | undefined {
  const { missing = [], phase, since, stage } = status
  if (missing.length === 0) return undefined
  const approval = phase === 'joining' || phase === 'checking'
  const command = stage === 'left' ? 'ceremony abandon' : 'ceremony approve'
  const ask = stage === 'left' || approval ? `${COMMAND} ${command} ${id} --data-dir DIR` : undefined
  const sentences = [`waiting for ${names(missing)}`, ...askThem(missing, context, ask)]
  if (approval && context.nowS > status.notAfter) sentences.push('its time to begin has run out')
  if (stage === 'running' && since !== undefined && context.nowS - since > LONG_WAIT_S)
    sentences.push(
      `no progress for ${Math.floor((context.nowS - since) / 60)} minutes: to give it up, on a quorum of its members: ${COMMAND} ceremony abandon ${id} --data-dir DIR`,
    )
  return sentences.join('. ')
}

/** Nodes that are away must be started; those that are there wait for their operators, or are slow. */
function askThem(missing: readonly NamedMember[], context: AdviceContext, command: string | undefined): string[] {
  const away = missing.filter(({ index }) => !context.connected(index))
  const there = missing.filter(({ index }) => context.connected(index))
  const sentences: string[] = []
  if (away.length > 0)
    sentences.push(
      `start ${names(away)} (${COMMAND} start --data-dir DIR) or mend the network: no connection from here`,
    )
  if (there.length > 0)
    sentences.push(
      command === undefined
        ? `${names(there)} can be reached and may be busy: the next view begins by itself`
        : `on ${names(there)}: ${command}`,
    )
  return sentences
}
