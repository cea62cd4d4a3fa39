import { dkgError } from '../errors.ts'
import { attempt, equalBytes } from '../primitives/codec.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { advanceAbandon, learnAbandonment } from './abandon.ts'
import { advanceAgreement } from './agreement.ts'
import { accept, advanceCompletion, archive } from './completion.ts'
import { findDeal, pull } from './deals.ts'
import {
  type CeremonyEngine,
  type CeremonyInput,
  type CeremonyParams,
  type EnginePorts,
  type EngineRules,
  PROTOCOL_RULES,
  type Step,
  type TimerName,
} from './engine-types.ts'
import { absorb } from './inbox.ts'
import { advanceJoining, join } from './joining.ts'
import { partyAt } from './parties.ts'
import { tellProgress } from './progress.ts'
import { resumeTurn } from './resume.ts'
import { decodeSigned, verifySigned } from './signed-message.ts'
import { encodeSnapshot } from './snapshot.ts'
import { type CeremonyState, copyState, createState } from './state.ts'
import { answerStatus, takeStatus } from './status.ts'
import { Turn } from './turn.ts'
import { advanceView, leaveForGood } from './views.ts'
import { advanceVouching } from './vouching.ts'

/**
 * The ceremony of protocol 4 as a pure, total reducer: KEYGEN, RESHARE and IMPORT, through as many views as it takes.
 * `step` may destroy secrets of the state it is given: an old state is not used again.
 */
export const createCeremonyEngine = (ports: EnginePorts): CeremonyEngine<CeremonyState> =>
  createEngineWithRules(ports, PROTOCOL_RULES)

/** For the controls of the model test: an engine without one of the rules must lose agreement. */
export function createEngineWithRules(ports: EnginePorts, rules: EngineRules): CeremonyEngine<CeremonyState> {
  return {
    open: (params) => {
      requireParty(params)
      return begin(new Turn(ports, rules, createState(params)))
    },
    step: (state, input) => {
      const turn = new Turn(ports, rules, copyState(state))
      take(turn, input)
      advance(turn)
      tellProgress(turn)
      return finish(turn)
    },
    resume: (params, snapshot) => {
      requireParty(params)
      return resume(resumeTurn(ports, rules, params, snapshot))
    },
  }
}

function requireParty({ spec, self, previous }: CeremonyParams): void {
  const { parties } = createState({ spec, self, timings: NO_TIMINGS, ...(previous && { previous }) })
  if (partyAt(parties, self) === undefined)
    throw dkgError('bad-parameters', `node ${self} takes no part in this ceremony`, { data: { self } })
}

const NO_TIMINGS = { phaseBaseMs: 0, phasePerMemberMs: 0, retransmitMs: 0, retransmitMaxMs: 0 }

/** Every life begins with the question what others hold from this node (protocol 5). */
function begin(turn: Turn): Step<CeremonyState> {
  if (!turn.isOver) {
    turn.emit({ type: 'ask-status', to: 'all' })
    turn.startTimer('retransmit', turn.state.params.timings.retransmitMs)
  }
  tellProgress(turn)
  return finish(turn)
}

/** Persist first: whatever the step decided is durable before any of its effects runs (protocol 5). */
function finish(turn: Turn): Step<CeremonyState> {
  const { state, effects, mustPersist } = turn
  if (!mustPersist) return { state, effects }
  return { state, effects: [{ type: 'persist', snapshot: encodeSnapshot(state) }, ...effects] }
}

function take(turn: Turn, input: CeremonyInput): void {
  switch (input.type) {
    case 'seeds':
      return join(turn, input)
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
    case 'status-request':
      return answerStatus(turn, input.from)
    case 'status':
      return takeStatus(turn, input)
    case 'abandon':
      return wantToAbandon(turn)
    case 'supersede':
      return supersede(turn)
    case 'stored':
      return archive(turn)
  }
}

/** A decided ceremony answers a late JOIN, new or sent again, with its certificate (protocol R5). */
function takeMessage(turn: Turn, signed: Uint8Array): void {
  const { state } = turn
  if (state.phase.name !== 'abandoned') absorb(turn, signed)
  const { phase } = state
  if (!('key' in phase)) return
  const message = attempt(() => decodeSigned(signed))
  if (message?.header.name !== 'join' || message.header.from === turn.self) return
  // An answer is many times the size of the question: nobody can ask in another member's name.
  if (!equalBytes(message.header.ceremony, state.ceremony)) return
  if (!verifySigned(turn.ports.verify, turn.parties, message)) return
  turn.emit({ type: 'send-certificate', to: message.header.from, certificate: phase.key.certificate })
}

function answerFetch(turn: Turn, request: Extract<CeremonyInput, { type: 'fetch' }>): void {
  const dealer = partyAt(turn.parties, request.dealer)
  const deal = dealer && findDeal(turn.state, dealer.index, request.dealHash)
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
}

function retransmit(turn: Turn): void {
  const { state } = turn
  if (turn.isOver && state.phase.name !== 'fetching') return
  state.retransmits += 1
  if (!turn.isConfirmed)
    for (const { index } of turn.config.members)
      if (index !== turn.self && !state.answered.has(index)) turn.emit({ type: 'ask-status', to: index })
  turn.resendAll('all')
  for (const key of state.wanted.keys()) pull(turn, key)
  const { retransmitMs, retransmitMaxMs } = state.params.timings
  turn.startTimer('retransmit', Math.min(retransmitMs * 2 ** Math.min(state.retransmits, 16), retransmitMaxMs))
}

function wantToAbandon(turn: Turn): void {
  const { state } = turn
  if (turn.isOver) {
    turn.emit({ type: 'abandon-refused', reason: 'it is decided' })
    return
  }
  if (state.standing === 'abandoned') return
  state.wantsToAbandon = true
  turn.mustPersist = true
}

/** Only `complete` counts from here on: this node promised never to act in this attempt again (protocol 3). */
function supersede(turn: Turn): void {
  const { state } = turn
  if (turn.isOver || state.standing !== 'active') return
  state.standing = 'superseded'
  leaveForGood(turn)
}

/** Runs the phases until none of them moves: one message can complete several. */
function advance(turn: Turn): void {
  const { state } = turn
  for (;;) {
    const { phase, view } = state
    const [sent, faults] = [state.sent.size, state.faults.size]
    if (turn.isOver && phase.name !== 'fetching') return
    if (phase.name !== 'fetching') learnAbandonment(turn)
    if (phase.name !== 'fetching' && turn.isConfirmed) act(turn)
    if (!turn.isOver || state.phase.name === 'fetching') advanceCompletion(turn)
    const moved = state.phase !== phase || state.view !== view
    if (!moved && state.sent.size === sent && state.faults.size === faults) return
  }
}

function act(turn: Turn): void {
  advanceAbandon(turn)
  if (turn.isOver || turn.state.standing !== 'active') return
  advanceView(turn)
  advanceJoining(turn)
  advanceVouching(turn)
  advanceAgreement(turn)
}

function resume(turn: Turn): Step<CeremonyState> {
  const { phase, params } = turn.state
  if (phase.name === 'archived') return finish(turn)
  // The driver may have died before it heard of it.
  if (phase.name === 'abandoned') {
    turn.emit({ type: 'abandoned' })
    return finish(turn)
  }
  if (phase.name === 'complete') {
    const { key, share } = phase
    turn.emit({ type: 'complete', certificate: key.certificate, ...(share && { share }) })
    return finish(turn)
  }
  turn.emit({ type: 'ask-status', to: 'all' })
  turn.startTimer('retransmit', params.timings.retransmitMs)
  turn.resendAll('all')
  if (phase.name === 'dealing') turn.startTimer('deal', turn.phaseMs)
  if (phase.name === 'vouching' && turn.isLeader) turn.startTimer('vouch', turn.phaseMs)
  advance(turn)
  tellProgress(turn)
  return finish(turn)
}
