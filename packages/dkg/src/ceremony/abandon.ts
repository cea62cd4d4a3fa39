import type { CeremonyEffect } from './engine-types.ts'
import { destroyReceiver } from './seeds.ts'
import type { Turn } from './turn.ts'
import { askForSeeds, leaveForGood } from './views.ts'

/** ABANDON: gives a ceremony up, and learns that enough others did (protocol 3). */
export function advanceAbandon(turn: Turn): void {
  const { state } = turn
  // Who gave it up for a higher attempt may say so too: without Q such words its slot stays undecided.
  if (state.wantsToAbandon && state.standing !== 'abandoned') abandon(turn)
  learnAbandonment(turn)
}

/** Signs nothing, so it needs no STATUS: those who know it decided against answer none any more. */
export function learnAbandonment(turn: Turn): void {
  if (!turn.isOver && turn.state.abandons.size >= turn.quorum) forget(turn)
}

/** The promise to send no JOIN, VOTE or COMMIT again. It may precede any JOIN; who holds a CERT1 must refuse. */
function abandon(turn: Turn): void {
  const { state } = turn
  state.wantsToAbandon = false
  turn.mustPersist = true
  const refusal = refusalOf(turn)
  if (refusal !== undefined) {
    turn.emit(refusal)
    // Nothing begins by a refusal: an engine that was opened only to give up never joins, and never deals.
    const hasJoined = [...state.sent.values()].some(({ header }) => header.name === 'join')
    return hasJoined && state.standing === 'active' ? askForSeeds(turn) : leaveForGood(turn)
  }
  state.standing = 'abandoned'
  const message = turn.send('abandon', new Uint8Array(0), undefined, 0)
  if (message !== undefined) state.abandons.set(turn.self, message)
  leaveForGood(turn)
}

function refusalOf(turn: Turn): Extract<CeremonyEffect, { type: 'abandon-refused' }> | undefined {
  const refuse = (reason: string): Extract<CeremonyEffect, { type: 'abandon-refused' }> => ({
    type: 'abandon-refused',
    reason,
  })
  if (!turn.isReceiver) return refuse('only members of the new committee can give the ceremony up')
  const { cert1, sent } = turn.state
  const committed = [...sent.values()].some(({ header }) => header.name === 'commit')
  if (turn.rules.cert1ForbidsAbandon && (cert1 !== undefined || committed))
    return refuse(
      'a quorum has voted for its outcome: it may be certified already, and will be when a quorum is connected',
    )
  return undefined
}

/** Q ABANDONs exclude a certificate for ever: a quorum of COMMITs would share an honest member with them. */
function forget(turn: Turn): void {
  const { state } = turn
  leaveForGood(turn)
  for (const key of state.receiverKeys.values()) destroyReceiver(key)
  for (const { share } of state.prepared.values()) share.destroy()
  state.receiverKeys.clear()
  state.prepared.clear()
  state.phase = { name: 'abandoned' }
  turn.stopTimers()
  turn.mustPersist = true
  turn.emit({ type: 'abandoned' })
}
