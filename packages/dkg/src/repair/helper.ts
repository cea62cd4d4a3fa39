import type { EnginePorts } from '../ceremony/engine-types.ts'
import { attempt, equalBytes } from '../primitives/codec.ts'
import type { Secret } from '../primitives/secret.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { verifyShare } from '../sharing/feldman.ts'
import { checkContribution, checkRequest, opensTo, pointFor, splitContribution, sumSecrets } from './contribution.ts'
import { decodeHelperSnapshot } from './helper-snapshot.ts'
import { copyHelperState, createHelperState, destroyReceived, type HelperState } from './helper-state.ts'
import { HelperTurn } from './helper-turn.ts'
import {
  CONTRIBUTION_TAG,
  decodeRepairMessage,
  encodeContribution,
  encodeDispute,
  encodeSignedRepair,
  repairId,
  type RepairMessage,
  type RepairRefusal,
  wipeMessage,
} from './messages.ts'
import { type SignedBody, signBody } from './signed-body.ts'
import type { HelperInput, RepairParams, RepairStep } from './types.ts'

export interface RepairHelper {
  /**
   * Takes up a REQ, given as its `request` message; undefined when it is not one that this node may help with (bad signature, r is not a
   * member, other sharing, other helpers): the driver answers with `encodeRefusal(rid, 'bad-request')` or nothing.
   * Nothing secret is touched before `approve`.
   */
  open(params: RepairParams, message: Uint8Array): RepairStep<HelperState> | undefined
  /** Total. May destroy secrets of the state it is given: an old state is not used again. */
  step(state: HelperState, input: HelperInput): RepairStep<HelperState>
  /** Continues from the last persisted snapshot. @throws KmsError `bad-encoding` */
  resume(params: RepairParams, snapshot: Secret): RepairStep<HelperState>
}

/** A helper i of one request (protocol 9, steps 1 and 2). */
export function createRepairHelper(ports: EnginePorts): RepairHelper {
  return {
    open: (params, message) => {
      const decoded = attempt(() => decodeRepairMessage(message))
      if (decoded?.kind !== 'request') return undefined
      const request = checkRequest(ports.verify, params.sharing, decoded.signed)
      if (request?.helpers.includes(params.self) !== true) return undefined
      const state = createHelperState(params, decoded.signed, request, repairId(decoded.signed.body))
      const turn = new HelperTurn(ports, state)
      turn.refuse('waiting')
      return turn.finish()
    },
    step: (state, input) => {
      const turn = new HelperTurn(ports, copyHelperState(state))
      take(turn, input)
      advance(turn)
      return turn.finish()
    },
    resume: (params, snapshot) => {
      const turn = new HelperTurn(ports, decodeHelperSnapshot(ports, params, snapshot))
      restart(turn)
      return turn.finish()
    },
  }
}

function take(turn: HelperTurn, input: HelperInput): void {
  switch (input.type) {
    case 'message':
      return takeMessage(turn, input.from, input.message)
    case 'approve':
      return approve(turn)
    case 'deny':
      return deny(turn, input.reason)
    case 'seed':
      contribute(turn, input.seed, input.share)
      input.seed.destroy()
      input.share.destroy()
      return
    case 'timer':
      return retransmit(turn)
    case 'peer-connected':
      return turn.resend([input.peer])
    case 'expire':
      return turn.end('expired')
  }
}

/** After a restart everything already said is said again, and what was under way goes on. */
function restart(turn: HelperTurn): void {
  const { phase } = turn.state
  if (phase.name === 'seeding') turn.effects.push({ type: 'need-seed' })
  if (phase.name === 'done') turn.effects.push({ type: 'finished', reason: phase.reason })
  if ('parts' in phase) turn.startTimer()
  turn.resend(turn.peers)
}

function approve(turn: HelperTurn): void {
  if (turn.state.phase.name !== 'waiting') return
  turn.state.phase = { name: 'seeding' }
  turn.mustPersist = true
  turn.effects.push({ type: 'need-seed' })
}

function deny(turn: HelperTurn, reason: RepairRefusal): void {
  const { name } = turn.state.phase
  if (name !== 'waiting' && name !== 'seeding') return
  turn.refuse(reason)
  turn.end('denied')
}

function retransmit(turn: HelperTurn): void {
  if (!('parts' in turn.state.phase)) return
  turn.state.retransmits++
  turn.resend(turn.peers)
  turn.startTimer()
}

/** Step 1: M1, signed once for this rid, and the parts behind it. */
function contribute(turn: HelperTurn, seed: Secret, share: Secret): void {
  const { state, ports } = turn
  const { params, request, rid, contributions, pending } = state
  const { self, sharing } = params
  if (state.phase.name !== 'seeding') return
  if (!verifyShare(ports.curve, sharing.commitment, self, share)) return turn.fail()
  const parts = splitContribution(ports.curve, request, self, share, seed)
  const points = [...parts].map(([helper, part]) => ({ helper, point: ports.curve.mulBaseSecret(part) }))
  const contribution = { rid, from: self, parts: points }
  const own = signBody(ports.sign, CONTRIBUTION_TAG, encodeContribution(contribution))
  contributions.set(self, { signed: own, contribution })
  state.phase = { name: 'collecting', own, parts }
  turn.mustPersist = true
  turn.resend(turn.peers)
  turn.startTimer()
  for (const from of pending.keys()) checkPart(turn, from)
}

function takeMessage(turn: HelperTurn, from: ParticipantIndex, bytes: Uint8Array): void {
  const message = attempt(() => decodeRepairMessage(bytes))
  if (message === undefined) return
  const rid = message.kind === 'request' ? repairId(message.signed.body) : message.rid
  if (equalBytes(rid, turn.state.rid)) takeOwn(turn, from, message)
  else wipeMessage(message)
}

function takeOwn(turn: HelperTurn, from: ParticipantIndex, message: RepairMessage): void {
  const { recoverer } = turn.state.request
  switch (message.kind) {
    case 'request':
      return askedAgain(turn)
    case 'contribution':
      return takeContribution(turn, from, message.signed)
    case 'part':
      return takePart(turn, from, message.part)
    case 'over':
      return from === recoverer ? turn.end('released') : undefined
    case 'sum':
    case 'dispute':
    case 'refusal':
      return wipeMessage(message)
  }
}

function askedAgain(turn: HelperTurn): void {
  const { phase, request } = turn.state
  if (phase.name === 'waiting') turn.refuse('waiting')
  else if (phase.name === 'done') turn.refuse('spent')
  else turn.resend([request.recoverer])
}

function takeContribution(turn: HelperTurn, via: ParticipantIndex, signed: SignedBody): void {
  const { phase, params, request, signedRequest, contributions } = turn.state
  if (phase.name === 'done') return
  const asked = { decoded: request, body: signedRequest.body }
  const check = checkContribution(turn.ports.curve, turn.ports.verify, params.sharing, asked, signed)
  if (check.kind === 'foreign') return
  if (check.kind === 'bad') return turn.blame('E7', check.from, [signed])
  const { from } = check.contribution
  if (from === params.self) return meetOwn(turn, signed)
  const known = contributions.get(from)
  if (known === undefined) {
    contributions.set(from, { signed, contribution: check.contribution })
    return checkPart(turn, from)
  }
  if (equalBytes(known.signed.body, signed.body)) return
  turn.blame('E2', from, [known.signed, signed])
  // r asks by showing its own: it needs the other one to prove the same.
  if (via === request.recoverer) turn.send(via, encodeSignedRepair('contribution', known.signed))
}

/** An M1 of this node that it does not know: its disk is older than the M1. A second one would be an equivocation. */
function meetOwn(turn: HelperTurn, signed: SignedBody): void {
  const { phase } = turn.state
  if ('own' in phase && phase.own !== undefined && equalBytes(phase.own.body, signed.body)) return
  turn.refuse('failed')
  turn.end('rolled-back')
}

function takePart(turn: HelperTurn, from: ParticipantIndex, part: Secret): void {
  const { phase, request, params, pending, checked } = turn.state
  const wanted =
    request.helpers.includes(from) &&
    from !== params.self &&
    (phase.name === 'seeding' || phase.name === 'collecting') &&
    !checked.has(from)
  if (!wanted) return part.destroy()
  pending.get(from)?.destroy()
  pending.set(from, part)
  checkPart(turn, from)
}

/** Step 2: d_ik*G == D_ik. */
function checkPart(turn: HelperTurn, from: ParticipantIndex): void {
  const { params, request, rid, contributions, pending, checked, disputed } = turn.state
  const known = contributions.get(from)
  const part = pending.get(from)
  if (known === undefined || part === undefined) return
  pending.delete(from)
  if (opensTo(turn.ports.curve, part, pointFor(known.contribution, params.self))) {
    checked.set(from, part)
    return
  }
  part.destroy()
  // With the M1 it was checked against: if r has another one, this is not a dispute but proof (E2).
  turn.send(request.recoverer, encodeSignedRepair('contribution', known.signed))
  turn.send(request.recoverer, encodeDispute(rid, from))
  if (disputed.has(from)) return
  disputed.add(from)
  turn.effects.push({ type: 'dispute', between: [from, params.self] })
}

/** Step 2: with every M1 and every part, sigma_k and what it stands on. */
function advance(turn: HelperTurn): void {
  const { phase, request, params, contributions, checked, faulty } = turn.state
  if (phase.name !== 'collecting' || faulty.size > 0) return
  const own = phase.parts.get(params.self)
  const complete = contributions.size === request.helpers.length && checked.size === request.helpers.length - 1
  if (!complete || own === undefined) return
  const sum = sumSecrets(turn.ports.curve, [own, ...checked.values()])
  if (sum === undefined) return turn.fail()
  destroyReceived(turn.state)
  turn.state.phase = { ...phase, name: 'summed', sum }
  turn.mustPersist = true
  turn.sendSum(sum)
}
