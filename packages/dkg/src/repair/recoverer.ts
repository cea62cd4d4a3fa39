import { type CommitteeConfig, memberAt } from '../ceremony/config.ts'
import type { EnginePorts } from '../ceremony/engine-types.ts'
import { dkgError } from '../errors.ts'
import { attempt, equalBytes } from '../primitives/codec.ts'
import { id32 } from '../primitives/point.ts'
import type { Secret } from '../primitives/secret.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { verifyShare } from '../sharing/feldman.ts'
import { chooseHelpers } from './choose-helpers.ts'
import { checkContribution, opensTo, sumPointFor, sumSecrets } from './contribution.ts'
import {
  type ContributionRef,
  contributionHash,
  decodeRepairMessage,
  encodeOver,
  encodeRequest,
  encodeSignedRepair,
  repairId,
  type RepairMessage,
  type RepairRefusal,
  REQUEST_TAG,
  wipeMessage,
} from './messages.ts'
import { decodeRecovererSnapshot } from './recoverer-snapshot.ts'
import {
  type Attempt,
  copyRecovererState,
  createAttempt,
  createRecovererState,
  destroySums,
  type RecovererState,
} from './recoverer-state.ts'
import { RecovererTurn } from './recoverer-turn.ts'
import { type SignedBody, signBody } from './signed-body.ts'
import type { RecovererInput, RepairParams, RepairStep } from './types.ts'

export interface RepairRecoverer {
  /** Begins a repair of the own share. @throws KmsError `bad-parameters` when this node is not a member of the sharing */
  open(params: RepairParams): RepairStep<RecovererState>
  /** Total. May destroy secrets of the state it is given: an old state is not used again. */
  step(state: RecovererState, input: RecovererInput): RepairStep<RecovererState>
  /** Continues from the last persisted snapshot: the same REQ is sent again. @throws KmsError `bad-encoding` */
  resume(params: RepairParams, snapshot: Secret): RepairStep<RecovererState>
}

/** The recoverer r (protocol 9, step 3). */
export function createRepairRecoverer(ports: EnginePorts): RepairRecoverer {
  return {
    open: (params) => {
      if (memberAt(params.sharing.config, params.self) === undefined)
        throw dkgError('bad-parameters', `node ${params.self} has no share of this sharing`, {
          data: { self: params.self },
        })
      const turn = new RecovererTurn(ports, createRecovererState(params))
      turn.mustPersist = true
      turn.effects.push({ type: 'need-nonce', attempt: 0 })
      return turn.finish()
    },
    step: (state, input) => {
      const turn = new RecovererTurn(ports, copyRecovererState(state))
      take(turn, input)
      advance(turn)
      return turn.finish()
    },
    resume: (params, snapshot) => {
      const turn = new RecovererTurn(ports, decodeRecovererSnapshot(ports, params, snapshot))
      restart(turn)
      return turn.finish()
    },
  }
}

function take(turn: RecovererTurn, input: RecovererInput): void {
  const { state } = turn
  switch (input.type) {
    case 'message':
      return takeMessage(turn, input.from, input.message)
    case 'nonce':
      return request(turn, input.attempt, input.nonce, input.reachable)
    case 'timer':
      return retransmit(turn)
    case 'peer-connected':
      return greet(turn, input.peer)
    case 'replace':
      return replace(turn, input.helper)
    case 'retry':
      return retry(turn)
    case 'begin-again':
      askReplacedAgain(state)
      return turn.beginAgain()
    case 'stored':
      return state.phase.name === 'complete' ? turn.end('repaired') : undefined
    case 'expire':
      return turn.end('expired')
  }
}

const collecting = ({ state }: RecovererTurn): Attempt | undefined =>
  state.phase.name === 'collecting' ? state.current : undefined

function restart(turn: RecovererTurn): void {
  const { phase, attempt: number, current } = turn.state
  if (phase.name === 'seeding') turn.effects.push({ type: 'need-nonce', attempt: number })
  if (phase.name === 'done') turn.effects.push({ type: 'finished', reason: phase.reason })
  if (phase.name !== 'collecting' || current === undefined) return
  turn.ask(current, current.request.helpers)
  turn.startTimer()
}

/** Chooses H and signs REQ. */
function request(turn: RecovererTurn, number: number, nonce: Uint8Array, reachable: readonly ParticipantIndex[]): void {
  const { state, ports } = turn
  const { sharing, self } = state.params
  if (state.phase.name !== 'seeding' || state.attempt !== number) return
  const { config, keyId, sharingId } = sharing
  const candidates = candidatesOf(turn, config, reachable)
  const helpers = chooseHelpers(candidates, state.disputes, config.t, config.f)
  turn.mustPersist = true
  if (helpers === undefined) {
    state.phase = { name: 'stuck' }
    return
  }
  const asked = { keyId, sharingId, recoverer: self, helpers, nonce: id32(nonce, 'nonce') }
  const signed = signBody(ports.sign, REQUEST_TAG, encodeRequest(asked))
  state.current = createAttempt(signed, asked, repairId(signed.body))
  state.phase = { name: 'collecting' }
  state.retransmits = 0
  turn.ask(state.current, helpers)
  turn.startTimer()
}

/** Everybody who may still be asked, whoever can be reached first. */
function candidatesOf(
  turn: RecovererTurn,
  config: CommitteeConfig,
  reachable: readonly ParticipantIndex[],
): ParticipantIndex[] {
  const { params, excluded } = turn.state
  const members = config.members
    .map(({ index }) => index)
    .filter((index) => index !== params.self && !excluded.has(index))
  const near = members.filter((index) => reachable.includes(index))
  return [...near, ...members.filter((index) => !reachable.includes(index))]
}

function retransmit(turn: RecovererTurn): void {
  const current = collecting(turn)
  if (current === undefined) return
  turn.state.retransmits++
  turn.ask(current, current.request.helpers)
  turn.startTimer()
}

function greet(turn: RecovererTurn, peer: ParticipantIndex): void {
  const current = collecting(turn)
  if (current?.request.helpers.includes(peer) === true) turn.ask(current, [peer])
}

function replace(turn: RecovererTurn, helper: ParticipantIndex): void {
  const { excluded, phase } = turn.state
  if (phase.name === 'complete' || phase.name === 'done') return
  if (!excluded.has(helper)) excluded.set(helper, 'replaced')
  turn.mustPersist = true
  if (collecting(turn)?.request.helpers.includes(helper) === true) turn.giveUpAttempt()
}

function retry(turn: RecovererTurn): void {
  askReplacedAgain(turn.state)
  if (turn.state.phase.name === 'stuck') turn.giveUpAttempt()
}

function askReplacedAgain({ excluded }: RecovererState): void {
  for (const [index, why] of excluded) if (why === 'replaced') excluded.delete(index)
}

function takeMessage(turn: RecovererTurn, from: ParticipantIndex, bytes: Uint8Array): void {
  const message = attempt(() => decodeRepairMessage(bytes))
  if (message === undefined || message.kind === 'request') return
  const { current, params } = turn.state
  if (current !== undefined && equalBytes(current.rid, message.rid)) return takeCurrent(turn, current, from, message)
  wipeMessage(message)
  // A helper of an earlier try that did not hear that it is over.
  const member = memberAt(params.sharing.config, from) !== undefined
  if (member && (message.kind === 'contribution' || message.kind === 'sum')) turn.send(from, encodeOver(message.rid))
}

function takeCurrent(turn: RecovererTurn, current: Attempt, from: ParticipantIndex, message: RepairMessage): void {
  if (turn.state.phase.name !== 'collecting' || !current.request.helpers.includes(from)) return wipeMessage(message)
  switch (message.kind) {
    case 'contribution':
      return takeContribution(turn, current, message.signed)
    case 'sum':
      current.pending.get(from)?.sum.destroy()
      current.pending.set(from, message)
      return
    case 'dispute':
      return takeDispute(turn, current, from, message.against)
    case 'refusal':
      return takeRefusal(turn, current, from, message.reason)
    case 'part':
    case 'request':
    case 'over':
      return wipeMessage(message)
  }
}

function takeContribution(turn: RecovererTurn, current: Attempt, signed: SignedBody): void {
  const { curve, verify } = turn.ports
  const asked = { decoded: current.request, body: current.signed.body }
  const check = checkContribution(curve, verify, turn.state.params.sharing, asked, signed)
  if (check.kind === 'foreign') return
  if (check.kind === 'bad') return turn.blame('E7', check.from, current, [signed])
  const { from } = check.contribution
  const known = current.contributions.get(from)
  if (known === undefined) {
    current.contributions.set(from, { signed, contribution: check.contribution })
    current.refusals.delete(from)
  } else if (!equalBytes(known.signed.body, signed.body)) turn.blame('E2', from, current, [known.signed, signed])
}

/** A bad private d_ik: i or k lies. They are not asked together again. */
function takeDispute(turn: RecovererTurn, current: Attempt, k: ParticipantIndex, i: ParticipantIndex): void {
  if (i !== k && current.request.helpers.includes(i)) turn.dispute(i, k)
}

/** A helper that cannot or must not help is replaced; one that waits for its operator, or has had enough for now, is waited for. */
function takeRefusal(turn: RecovererTurn, current: Attempt, from: ParticipantIndex, reason: RepairRefusal): void {
  current.refusals.set(from, reason)
  if (reason !== 'waiting' && reason !== 'rate-limited') replace(turn, from)
}

/** Step 3. */
function advance(turn: RecovererTurn): void {
  const current = collecting(turn)
  if (current === undefined || current.contributions.size < current.request.helpers.length) return
  for (const [helper, { sum, refs }] of current.pending) {
    current.pending.delete(helper)
    if (current.sums.has(helper)) sum.destroy()
    else checkSum(turn, current, helper, sum, refs)
    if (turn.state.current !== current) return
  }
  if (current.sums.size === current.request.helpers.length) complete(turn, current)
}

/** sigma_k*G == sum_i D_ik over the M1s that k used too. */
function checkSum(
  turn: RecovererTurn,
  current: Attempt,
  helper: ParticipantIndex,
  sum: Secret,
  refs: readonly ContributionRef[],
): void {
  const { helpers } = current.request
  const whole = refs.length === helpers.length && refs.every(({ from }, at) => from === helpers[at])
  const differing = refs.find(({ from, hash }) => {
    const known = current.contributions.get(from)
    return known !== undefined && !equalBytes(contributionHash(known.signed), hash)
  })
  if (whole && differing !== undefined && differing.from !== helper) {
    sum.destroy()
    return askForOther(turn, current, differing.from, helper)
  }
  const known = [...current.contributions.values()].map(({ contribution }) => contribution)
  const { curve } = turn.ports
  if (whole && differing === undefined && opensTo(curve, sum, sumPointFor(curve, known, helper))) {
    current.sums.set(helper, sum)
    return
  }
  sum.destroy()
  turn.accuse(helper)
}

/**
 * k used another M1 of i than we have. Shown ours, an honest k answers with its own, and both prove E2 by i. A hash alone proves nothing:
 * when k names the other one again and does not show it, it is one word against another.
 */
function askForOther(turn: RecovererTurn, current: Attempt, i: ParticipantIndex, k: ParticipantIndex): void {
  const pair = `${i}/${k}`
  const known = current.contributions.get(i)
  if (current.differing.has(pair) || known === undefined) return turn.dispute(i, k)
  current.differing.add(pair)
  turn.send(k, encodeSignedRepair('contribution', known.signed))
}

/** s_r = sum_k sigma_k, and the self-check s_r*G == Y_r. */
function complete(turn: RecovererTurn, current: Attempt): void {
  const { curve } = turn.ports
  const { sharing, self } = turn.state.params
  const share = sumSecrets(curve, [...current.sums.values()])
  destroySums(current)
  if (share === undefined || !verifyShare(curve, sharing.commitment, self, share)) {
    share?.destroy()
    return turn.end('failed')
  }
  turn.state.phase = { name: 'complete', share }
  turn.effects.push({ type: 'stop-timer' }, { type: 'complete', share })
}
