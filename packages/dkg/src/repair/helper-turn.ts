import type { EnginePorts } from '../ceremony/engine-types.ts'
import type { Secret } from '../primitives/secret.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { repairFault } from './evidence.ts'
import { encodeHelperSnapshot } from './helper-snapshot.ts'
import { destroyHelperSecrets, type HelperPhase, type HelperState, type OwnParts } from './helper-state.ts'
import {
  contributionHash,
  encodePart,
  encodeRefusal,
  encodeSignedRepair,
  encodeSum,
  type RepairRefusal,
} from './messages.ts'
import type { SignedBody } from './signed-body.ts'
import type { RepairEffect, RepairEnd, RepairStep } from './types.ts'

/** One step of a helper under way: a private copy of its state, and the effects it causes. */
export class HelperTurn {
  readonly ports: EnginePorts
  readonly state: HelperState
  readonly effects: RepairEffect[] = []
  /** Something was decided that must be durable before any effect of this step runs. */
  mustPersist = false

  constructor(ports: EnginePorts, state: HelperState) {
    this.ports = ports
    this.state = state
  }

  finish(): RepairStep<HelperState> {
    this.#tellProgress()
    const { state, effects } = this
    if (!this.mustPersist) return { state, effects }
    return { state, effects: [{ type: 'persist', snapshot: encodeHelperSnapshot(state) }, ...effects] }
  }

  send(to: ParticipantIndex, message: Uint8Array): void {
    this.effects.push({ type: 'send', to, message })
  }

  refuse(reason: RepairRefusal): void {
    this.send(this.state.request.recoverer, encodeRefusal(this.state.rid, reason))
  }

  /** Everybody who has a part in this request but this node. */
  get peers(): readonly ParticipantIndex[] {
    const { request, params } = this.state
    return [...request.helpers.filter((helper) => helper !== params.self), request.recoverer]
  }

  /** Own M1 to everybody, d_ik to its k alone, sigma to r alone. */
  resend(peers: readonly ParticipantIndex[]): void {
    const { phase, request } = this.state
    if (!('parts' in phase)) return
    for (const to of peers.filter((peer) => this.peers.includes(peer))) this.#sendOwn(to, phase)
    if (phase.name === 'summed' && peers.includes(request.recoverer)) this.sendSum(phase.sum)
  }

  #sendOwn(to: ParticipantIndex, { own, parts }: OwnParts): void {
    this.send(to, encodeSignedRepair('contribution', own))
    const part = parts.get(to)
    if (part !== undefined) this.effects.push({ type: 'send-secret', to, message: encodePart(this.state.rid, part) })
  }

  sendSum(sum: Secret): void {
    const { request, rid, contributions } = this.state
    const refs = request.helpers.flatMap((from) => {
      const known = contributions.get(from)
      return known === undefined ? [] : [{ from, hash: contributionHash(known.signed) }]
    })
    this.effects.push({ type: 'send-secret', to: request.recoverer, message: encodeSum(rid, sum, refs) })
  }

  startTimer(): void {
    const { retransmitMs, retransmitMaxMs } = this.state.params.timings
    const ms = Math.min(retransmitMaxMs, retransmitMs * 2 ** Math.min(this.state.retransmits, 16))
    this.effects.push({ type: 'start-timer', ms })
  }

  /** Tells the driver of a proven fault once, and shows r what proves it. */
  blame(kind: 'E2' | 'E7', culprit: ParticipantIndex, signed: readonly SignedBody[]): void {
    const { faulty, request, signedRequest, params } = this.state
    if (culprit === params.self || faulty.has(culprit)) return
    faulty.add(culprit)
    this.effects.push({
      type: 'fault',
      fault: repairFault(kind, culprit, { sharing: params.sharing, request: signedRequest }, signed),
    })
    for (const one of signed) this.send(request.recoverer, encodeSignedRepair('contribution', one))
  }

  fail(): void {
    this.refuse('failed')
    this.end('failed')
  }

  /** Erases every secret; what is left says that this rid is spent. */
  end(reason: RepairEnd): void {
    const { phase } = this.state
    if (phase.name === 'done') return
    destroyHelperSecrets(this.state)
    const done: HelperPhase = { name: 'done', reason, ...('own' in phase && { own: phase.own }) }
    this.state.phase = done
    this.mustPersist = true
    this.effects.push({ type: 'stop-timer' }, { type: 'finished', reason })
  }

  #tellProgress(): void {
    const { phase, request, params, contributions, checked, progress } = this.state
    const others = request.helpers.filter((helper) => helper !== params.self)
    const missing =
      phase.name === 'collecting' ? others.filter((helper) => !contributions.has(helper) || !checked.has(helper)) : []
    const told = `${phase.name} ${missing.join(' ')}`
    if (told === progress) return
    this.state.progress = told
    this.effects.push({ type: 'progress', phase: phase.name, missing, refusals: [] })
  }
}
