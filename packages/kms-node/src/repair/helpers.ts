import {
  bytesKey,
  createRepairHelper,
  encodeRepairRefusal,
  equalBytes,
  type HelperInput,
  type HelperState,
  type ParticipantIndex,
  readRepairRequest,
  type RepairId,
  type RepairStep,
  type Secret,
  verifyEd25519,
} from '@tkms/dkg'
import { createTurns } from '../turns.ts'
import type { RunContext } from './context.ts'
import { repairError } from './errors.ts'
import type { RepairableKey } from './ports.ts'
import { RepairRun } from './run.ts'
import { drawRepairSeed } from './seeds.ts'

/** New requests of one node in one hour; more are refused, each would be a question to the operator. */
const MAX_REQUESTS_PER_HOUR = 10
const HOUR_MS = 3_600_000
/** Requests that wait for the operator. The oldest gives way to a new one. */
const MAX_WAITING = 64

type HelperRun = RepairRun<HelperState, HelperInput>

interface Entry {
  readonly run: HelperRun
  readonly rid: RepairId
  readonly key: RepairableKey['key']
  readonly recoverer: ParticipantIndex
}

const phaseOf = ({ run }: Entry): HelperState['phase']['name'] => run.state.phase.name

/** This node as a helper: what others ask, and what its operator says to it. */
export interface Helpers {
  resume(key: RepairableKey['key'], snapshot: Secret): void
  /** Whether there is a helper for this rid, which then takes the message. */
  deliver(rid: RepairId, from: ParticipantIndex, message: Uint8Array): boolean
  /** A `request` message of a rid that is not known here. */
  requested(from: ParticipantIndex, message: Uint8Array): void
  /**
   * Approves this request and no other: whoever has the other node's key can ask beside it, and say in its name that a request is over,
   * so that nothing here tells its next try from a stranger's. False unless the request waits for its operator.
   */
  approve(rid: string): Promise<boolean>
  deny(rid: string): Promise<boolean>
  greet(peer: ParticipantIndex): void
  /** Sharings that are no longer the latest are not repaired any more. */
  expire(isCurrent: (key: RepairableKey['key']) => boolean): void
  halt(): Promise<unknown>
}

export function createHelpers(context: RunContext): Helpers {
  const { params } = context
  const { keys, network, clock, rng, nodeSeed, timings, self, curve, sign } = params
  const machine = createRepairHelper({ curve, sign, verify: verifyEd25519 })
  const entries = new Map<string, Entry>()
  const asked = new Map<number, readonly number[]>()
  /** One word of the operator after the other. */
  const inTurn = createTurns()

  const refuse = (to: ParticipantIndex, rid: RepairId, reason: Parameters<typeof encodeRepairRefusal>[1]): void => {
    network.send(to, { type: 'repair', message: encodeRepairRefusal(rid, reason) })
  }

  const open = (
    key: RepairableKey['key'],
    rid: RepairId,
    recoverer: ParticipantIndex,
    first: RepairStep<HelperState>,
  ): Entry => {
    const id = bytesKey(rid)
    const ports = context.portsOf({ role: 'helper', id, rid, key, recoverer })
    const run: HelperRun = new RepairRun((state, input) => machine.step(state, input), first, {
      ...ports,
      onBroken: (cause) => {
        ports.onBroken(cause)
        refuse(recoverer, rid, 'failed')
      },
      answer: async ({ type }) => {
        if (type !== 'need-seed') return undefined
        const share = keys.copyShare(key.sharingId)
        if (share === undefined) return { type: 'deny', reason: 'not-holding' }
        return { type: 'seed', seed: drawRepairSeed(rng, nodeSeed, rid), share }
      },
    })
    const entry = { run, rid, key, recoverer }
    entries.set(id, entry)
    return entry
  }

  /** The requests of this node in the last hour, with this one. */
  const isTooOften = (from: number): boolean => {
    const now = clock.monotonicMs()
    const recent = (asked.get(from) ?? []).filter((at) => now - at < HOUR_MS)
    if (recent.length >= MAX_REQUESTS_PER_HOUR) return true
    asked.set(from, [...recent, now])
    return false
  }

  const makeRoom = (): void => {
    const waiting = [...entries].filter(([, { run }]) => run.state.phase.name === 'waiting')
    const [oldest] = waiting
    if (waiting.length < MAX_WAITING || oldest === undefined) return
    void oldest[1].run.halt()
    context.forget(oldest[0])
    entries.delete(oldest[0])
  }

  /** What was contributed since the backup that was restored is not known here before others have told. */
  const requireTold = ({ config, keyName }: RepairableKey['key']): void => {
    const awaited = params.awaited?.(config) ?? []
    if (awaited.length > 0)
      throw repairError(
        'restored',
        `a backup of this node was restored: it contributes nothing to ${keyName} before more of ${awaited.map(params.nameOf).join(', ')} can be reached and have told what it promised. Start them, then approve again`,
        { retryable: true, data: { awaited } },
      )
  }

  const requested: Helpers['requested'] = (from, message) => {
    const request = readRepairRequest(message)
    if (request === undefined || request.recoverer !== from) return
    const { rid, sharingId } = request
    const known = keys.list().find(({ key }) => equalBytes(key.sharingId, sharingId))
    if (known?.hasShare !== true) return refuse(from, rid, 'not-holding')
    const first = machine.open({ sharing: known.key, self, timings }, message)
    if (first === undefined) return refuse(from, rid, 'bad-request')
    if (isTooOften(from)) return refuse(from, rid, 'rate-limited')
    makeRoom()
    open(known.key, rid, from, first)
  }

  return {
    resume: (key, snapshot) => {
      const first = machine.resume({ sharing: key, self, timings }, snapshot)
      open(key, first.state.rid, first.state.request.recoverer, first)
    },
    deliver: (rid, from, message) => {
      const entry = entries.get(bytesKey(rid))
      if (entry === undefined) return false
      // The rid is spent here, whatever was said under it: who asks learns that it must ask under another one.
      if (entry.run.isBroken && readRepairRequest(message) !== undefined) refuse(from, rid, 'failed')
      void entry.run.input({ type: 'message', from, message }).finally(() => message.fill(0))
      return true
    },
    requested,
    approve: (rid) =>
      inTurn(async () => {
        const entry = entries.get(rid)
        if (entry === undefined || phaseOf(entry) !== 'waiting') return false
        requireTold(entry.key)
        await entry.run.input({ type: 'approve' })
        return phaseOf(entry) !== 'done'
      }),
    deny: (rid) =>
      inTurn(async () => {
        const entry = entries.get(rid)
        if (entry === undefined) return false
        await entry.run.input({ type: 'deny', reason: 'denied' })
        return true
      }),
    greet: (peer) => {
      for (const { run } of entries.values()) void run.input({ type: 'peer-connected', peer })
    },
    expire: (isCurrent) => {
      for (const [id, { run, key }] of entries)
        if (!isCurrent(key)) {
          entries.delete(id)
          void run.input({ type: 'expire' }).then(() => context.erase('helper', id))
        }
    },
    halt: () => Promise.all([...entries.values()].map(({ run }) => run.halt())),
  }
}
