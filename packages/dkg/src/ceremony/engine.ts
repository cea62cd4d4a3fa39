import { dkgError } from '../errors.ts'
import { attempt, equalBytes } from '../primitives/codec.ts'
import type { Secret } from '../primitives/secret.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { advanceAgreement } from './agreement.ts'
import { accept, advanceCompletion, archive } from './completion.ts'
import { memberAt } from './config.ts'
import type { CeremonyEngine, CeremonyInput, CeremonyParams, EnginePorts, Step, TimerName } from './engine-types.ts'
import { absorb, findDeal, pull } from './inbox.ts'
import { advanceJoining, join } from './joining.ts'
import { tellProgress, tellStopped } from './progress.ts'
import { resumeState } from './resume.ts'
import { destroyDealing } from './seeds.ts'
import { decodeSigned, verifySigned } from './signed-message.ts'
import { encodeSnapshot } from './snapshot.ts'
import { type CeremonyState, copyState, createState } from './state.ts'
import { Turn } from './turn.ts'
import { advanceVouching } from './vouching.ts'

/**
 * The ceremony of protocol 4 as a pure, total reducer. KEYGEN in its first view; the formats carry views and RESHARE.
 * `step` may destroy secrets of the state it is given: an old state is not used again.
 */
export function createCeremonyEngine(ports: EnginePorts): CeremonyEngine<CeremonyState> {
  return {
    open: (params) => {
      requireMember(params)
      const turn = new Turn(ports, createState(params))
      turn.emit({ type: 'need-seeds', view: turn.state.view })
      tellProgress(turn)
      return finish(turn)
    },
    step: (state, input) => {
      const turn = new Turn(ports, copyState(state))
      take(turn, input)
      advance(turn)
      tellProgress(turn)
      return finish(turn)
    },
    resume: (params, snapshot) => {
      requireMember(params)
      return resume(ports, params, snapshot)
    },
  }
}

function requireMember({ spec, self }: CeremonyParams): void {
  if (spec.kind !== 'keygen') throw dkgError('unsupported', 'this version makes keys, it does not reshare them')
  if (memberAt(spec.newConfig, self) === undefined)
    throw dkgError('bad-parameters', `node ${self} is not a member of this ceremony`, { data: { self } })
}

/** Persist first: whatever the step decided is durable before any of its effects runs (protocol 5). */
function finish(turn: Turn): Step<CeremonyState> {
  const { state, effects, mustPersist } = turn
  if (!mustPersist) return { state, effects }
  return { state, effects: [{ type: 'persist', snapshot: encodeSnapshot(state) }, ...effects] }
}

const isOver = (turn: Turn): boolean => turn.state.phase.name === 'complete' || turn.state.phase.name === 'archived'

function take(turn: Turn, input: CeremonyInput): void {
  switch (input.type) {
    case 'seeds':
      if (input.view === turn.state.view) return joinWith(turn, input)
      input.dealing.destroy()
      input.receiver.destroy()
      return
    case 'message':
      return takeMessage(turn, input.signed)
    case 'certificate':
      return accept(turn, input.certificate)
    case 'fetch':
      return answerFetch(turn, input)
    case 'timer':
      return takeTimer(turn, input)
    case 'peer-connected':
      return greet(turn, input.peer)
    case 'stored':
      return archive(turn)
  }
}

function joinWith(turn: Turn, seeds: { readonly dealing: Secret; readonly receiver: Secret }): void {
  const first = turn.state.phase.name === 'seeding'
  join(turn, seeds)
  if (first) turn.startTimer('retransmit', turn.state.params.timings.retransmitMs)
}

/** A decided ceremony answers a late JOIN, new or sent again, with its certificate (protocol R5). */
function takeMessage(turn: Turn, signed: Uint8Array): void {
  absorb(turn, signed)
  const { phase } = turn.state
  if (!('key' in phase)) return
  const message = attempt(() => decodeSigned(signed))
  if (message?.header.name !== 'join' || message.header.from === turn.self) return
  // An answer is many times the size of the question: nobody can ask in another member's name.
  if (!equalBytes(message.header.ceremony, turn.state.ceremony)) return
  if (!verifySigned(turn.ports.verify, turn.config, message)) return
  turn.emit({ type: 'send-certificate', to: message.header.from, certificate: phase.key.certificate })
}

function answerFetch(turn: Turn, request: Extract<CeremonyInput, { type: 'fetch' }>): void {
  const { members } = turn.config
  const dealer = members.find(({ index }) => index === request.dealer)
  const deal = dealer && findDeal(turn.state.inbox, dealer.index, request.dealHash)
  if (deal !== undefined) turn.emit({ type: 'send', to: request.from, signed: deal.bytes })
}

function greet(turn: Turn, peer: ParticipantIndex): void {
  const { phase } = turn.state
  if ('key' in phase) turn.emit({ type: 'send-certificate', to: peer, certificate: phase.key.certificate })
  else turn.greet(peer)
}

function takeTimer(turn: Turn, timer: { readonly name: TimerName; readonly view: number }): void {
  const { state } = turn
  if (timer.view !== state.view || !state.running.delete(timer.name)) return
  if (timer.name === 'retransmit') return retransmit(turn)
  state.fired.add(timer.name)
  if (timer.name === 'view') leave(turn)
}

function retransmit(turn: Turn): void {
  const { state } = turn
  if (isOver(turn)) return
  state.retransmits += 1
  if (state.phase.name !== 'left') turn.resendAll('all')
  for (const key of state.wanted.keys()) pull(turn, key)
  const { retransmitMs, retransmitMaxMs } = state.params.timings
  turn.startTimer('retransmit', Math.min(retransmitMs * 2 ** Math.min(state.retransmits, 16), retransmitMaxMs))
}

/**
 * The view ended without an outcome: this node signs nothing more in it. What it PREPARED behind a vote is kept,
 * since a certificate may still surface; time alone never erases it (protocol R5).
 */
function leave(turn: Turn): void {
  const { state } = turn
  const { phase } = state
  if ('key' in phase || phase.name === 'seeding' || phase.name === 'left') return
  tellStopped(turn)
  if (phase.name === 'joining') destroyDealing(phase.dealing)
  state.phase = {
    name: 'left',
    ...('receiver' in phase && { receiver: phase.receiver }),
    ...('prepared' in phase && { prepared: phase.prepared }),
  }
  turn.mustPersist = true
}

/** Runs the phases until none of them moves: one message can complete several. */
function advance(turn: Turn): void {
  while (!isOver(turn)) {
    const before = turn.state.phase
    const sent = turn.state.sent.size
    advanceJoining(turn)
    advanceVouching(turn)
    advanceAgreement(turn)
    advanceCompletion(turn)
    if (turn.state.phase === before && turn.state.sent.size === sent) return
  }
}

function resume(ports: EnginePorts, params: CeremonyParams, snapshot: Secret): Step<CeremonyState> {
  const turn = resumeState(ports, params, snapshot)
  const { phase } = turn.state
  if (phase.name === 'complete') {
    const { key, share } = phase
    turn.emit({ type: 'complete', certificate: key.certificate, ...(share && { share }) })
  } else if (phase.name !== 'archived') {
    turn.startTimer('retransmit', params.timings.retransmitMs)
    if (phase.name !== 'left') turn.resendAll('all')
    if (phase.name === 'dealing') turn.startTimer('deal', turn.phaseMs)
    if (phase.name === 'vouching' && turn.isLeader) turn.startTimer('vouch', turn.phaseMs)
  }
  advance(turn)
  tellProgress(turn)
  return finish(turn)
}
