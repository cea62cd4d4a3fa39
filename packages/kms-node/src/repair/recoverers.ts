import {
  bytesKey,
  createRepairRecoverer,
  currentRepairId,
  equalBytes,
  type ParticipantIndex,
  type RecovererInput,
  type RecovererState,
  type RepairId,
  type RepairStep,
  type Secret,
  verifyEd25519,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { RunContext } from './context.ts'
import type { RepairableKey } from './ports.ts'
import { RepairRun } from './run.ts'

type RecovererRun = RepairRun<RecovererState, RecovererInput>

interface Entry {
  readonly run: RecovererRun
  readonly key: RepairableKey['key']
}

/** This node as the one that lost a share: one repair for each sharing at a time. */
export interface Recoverers {
  /** Begins a repair, or begins one that broke off again with a new rid, or finds the one under way. @returns its id */
  start(key: RepairableKey['key']): string
  resume(key: RepairableKey['key'], snapshot: Secret): void
  /** Whether the try under way of some repair has this rid; it then takes the message. */
  deliver(rid: RepairId, from: ParticipantIndex, message: Uint8Array): boolean
  /** The operator's word to one repair; one that broke off begins again first. False when there is none. */
  tell(id: string, input: RecovererInput): Promise<boolean>
  /** The request of the try under way. */
  requestOf(id: string): RepairId | undefined
  greet(peer: ParticipantIndex): void
  expire(isCurrent: (key: RepairableKey['key']) => boolean): void
  halt(): Promise<unknown>
}

export function createRecoverers(context: RunContext): Recoverers {
  const { params } = context
  const { keys, network, rng, timings, self, curve, sign } = params
  const machine = createRepairRecoverer({ curve, sign, verify: verifyEd25519 })
  const runs = new Map<string, Entry>()

  /** Keeps the share; a sharing that was left behind meanwhile is not repaired. */
  const store = async (key: RepairableKey['key'], share: Secret): Promise<RecovererInput> => {
    try {
      await keys.repaired(key.sharingId, share)
      return { type: 'stored' }
    } catch (cause) {
      if (isKmsError(cause) && cause.code === 'share-erased') return { type: 'expire' }
      throw cause
    }
  }

  const open = (key: RepairableKey['key'], first: RepairStep<RecovererState>): string => {
    const id = bytesKey(key.sharingId)
    const ports = context.portsOf({ role: 'recoverer', id, rid: key.sharingId, key, recoverer: self })
    const run: RecovererRun = new RepairRun((state, input) => machine.step(state, input), first, {
      ...ports,
      onFinished: async (reason) => {
        await ports.onFinished(reason)
        runs.delete(id)
        await context.erase('recoverer', id)
      },
      answer: async (effect) => {
        if (effect.type === 'complete') return store(key, effect.share)
        if (effect.type !== 'need-nonce') return undefined
        return { type: 'nonce', attempt: effect.attempt, nonce: rng.bytes(32), reachable: network.connected }
      },
    })
    runs.set(id, { run, key })
    return id
  }

  const again = ({ run, key }: Entry): string => open(key, machine.step(run.state, { type: 'begin-again' }))

  return {
    start: (key) => {
      const id = bytesKey(key.sharingId)
      const known = runs.get(id)
      if (known === undefined || (known.run.isBroken && known.run.state.phase.name === 'done'))
        return open(key, machine.open({ sharing: key, self, timings }))
      return known.run.isBroken ? again(known) : id
    },
    resume: (key, snapshot) => {
      open(key, machine.resume({ sharing: key, self, timings }, snapshot))
    },
    deliver: (rid, from, message) => {
      for (const { run } of runs.values()) {
        const current = currentRepairId(run.state)
        if (current === undefined || !equalBytes(current, rid)) continue
        void run.input({ type: 'message', from, message }).finally(() => message.fill(0))
        return true
      }
      return false
    },
    tell: async (id, input) => {
      const known = runs.get(id)
      if (known?.run.isBroken === true) again(known)
      const found = runs.get(id)
      await found?.run.input(input)
      return found !== undefined
    },
    requestOf: (id) => {
      const known = runs.get(id)
      return known && currentRepairId(known.run.state)
    },
    greet: (peer) => {
      for (const { run } of runs.values()) void run.input({ type: 'peer-connected', peer })
    },
    expire: (isCurrent) => {
      for (const { run, key } of runs.values()) if (!isCurrent(key)) void run.input({ type: 'expire' })
    },
    halt: () => Promise.all([...runs.values()].map(({ run }) => run.halt())),
  }
}
