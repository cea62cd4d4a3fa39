import {
  bytesKey,
  type CeremonyEffect,
  type CeremonyId,
  type CeremonyInput,
  type Fault,
  type ParticipantIndex,
  type Secret,
  type TimerName,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { CeremonyFrame } from '../net/ceremony-frame.ts'
import type { RecordStore } from '../ports.ts'
import type { CeremonyArchive } from './archive.ts'
import type { EngineProcess } from './engine-process.ts'
import type { ViewSeeds } from './hedged-seeds.ts'
import { createMailbox } from './mailbox.ts'

/** How often the engine's process may die before the ceremony is given up until the node restarts. */
const MAX_RESTARTS = 5
const LONGEST_TIMER_MS = 2 ** 31 - 1

export type CeremonyProgress = Extract<CeremonyEffect, { type: 'progress' }>
export type ViewFailed = Extract<CeremonyEffect, { type: 'view-failed' }>
export type NeededSeeds = Extract<CeremonyEffect, { type: 'need-seeds' }>

/** What this node's operator, or a promise of its slot, asks of the engine. */
export type Order = Extract<CeremonyInput, { type: 'abandon' | 'supersede' }>

/** What a running ceremony needs of its node. */
export interface DriverPorts {
  readonly ceremony: CeremonyId
  /** What one peer may have waiting here. */
  readonly maxBytesPerPeer: number
  readonly store: RecordStore
  readonly startProcess: () => EngineProcess
  /** Fresh seeds, those that are asked for, and what this node deals where it deals. */
  readonly drawSeeds: (needed: NeededSeeds) => ViewSeeds
  readonly send: (to: 'all' | ParticipantIndex, frame: CeremonyFrame) => void
  /** Stores certificate and share durably, reads them back and checks them. `share` is borrowed. */
  readonly install: (certificate: Uint8Array, share: Secret | undefined) => Promise<void>
  readonly onProgress: (progress: CeremonyProgress) => void
  readonly onViewFailed: (failed: ViewFailed) => void
  /** Peers showed messages of this node that its disk lacks (protocol 5). */
  readonly onRolledBack: (view: number) => void
  readonly onAbandonRefused: (reason: string) => void
  readonly onFault: (fault: Fault) => Promise<void>
  readonly onRestart: (restarts: number, cause: unknown) => void
}

/** Where the time of a ceremony went, in this life of the node. */
export interface DriverTimes {
  readonly totalMs: number
  /** Inputs given to the engine, and how long it worked on them, its start included. */
  readonly steps: number
  readonly engineMs: number
  /** Snapshots made durable. */
  readonly persists: number
  readonly persistMs: number
}

/** How a ceremony left its engine. */
export type DriverResult =
  /** Certified, and what this node holds of it is in the key store. */
  | { readonly kind: 'decided'; readonly archive: CeremonyArchive; readonly times: DriverTimes }
  /** A quorum abandoned it: nothing of it is needed any more. */
  | { readonly kind: 'abandoned' }
  /** The node is stopping: it resumes at the next start. */
  | { readonly kind: 'halted' }

/** Runs the engine of one ceremony: feeds it inputs one at a time and carries out its effects in order. */
export interface CeremonyDriver {
  /** False when the peer's share of the mailbox is full. */
  deliver(from: ParticipantIndex, input: CeremonyInput): boolean
  /** From this node's operator: taken once, also when the engine's process dies of it at first. */
  order(input: Order): void
  /** Resolves when the ceremony is decided, abandoned or halted. @throws KmsError when the store fails or the process keeps dying */
  run(): Promise<DriverResult>
  halt(): Promise<void>
}

export function createCeremonyDriver(ports: DriverPorts): CeremonyDriver {
  const { ceremony, store } = ports
  const recordId = bytesKey(ceremony)
  const mailbox = createMailbox(ports.maxBytesPerPeer)
  const timers = new Map<TimerName, NodeJS.Timeout>()
  let engine: EngineProcess | undefined
  let halted = false
  let restarts = 0
  let archive: CeremonyArchive | undefined
  let abandoned = false
  const startMs = performance.now()
  const times = { steps: 0, engineMs: 0, persists: 0, persistMs: 0 }
  const measured = async <T>(name: 'engineMs' | 'persistMs', work: () => Promise<T>): Promise<T> => {
    const beforeMs = performance.now()
    try {
      return await work()
    } finally {
      times[name] += performance.now() - beforeMs
    }
  }

  const stopTimer = (name: TimerName): void => {
    clearTimeout(timers.get(name))
    timers.delete(name)
  }

  /** Persist first: nothing behind a `persist` happens before that snapshot is durable (architecture, rule 6). */
  const perform = async (effect: CeremonyEffect): Promise<void> => {
    switch (effect.type) {
      case 'persist':
        times.persists++
        await measured('persistMs', () => store.put('ceremony', recordId, effect.snapshot))
        return effect.snapshot.destroy()
      case 'need-seeds':
        return mailbox.pushOwn({ type: 'seeds', view: effect.view, ...ports.drawSeeds(effect) })
      case 'send':
        return ports.send(effect.to, { type: 'message', ceremony, signed: effect.signed })
      case 'send-certificate':
        return ports.send(effect.to, { type: 'certificate', ceremony, certificate: effect.certificate })
      case 'fetch': {
        const { to, sid, dealer, dealHash } = effect
        return ports.send(to, { type: 'fetch', ceremony, sid, dealer, dealHash })
      }
      case 'ask-status':
        return ports.send(effect.to, { type: 'statusRequest', ceremony })
      case 'send-status': {
        const { to, messages, cert1 } = effect
        return ports.send(to, { type: 'status', ceremony, messages, ...(cert1 !== undefined && { cert1 }) })
      }
      case 'start-timer': {
        const { name, view, ms } = effect
        stopTimer(name)
        const fire = (): void => mailbox.pushOwn({ type: 'timer', name, view })
        timers.set(name, setTimeout(fire, Math.min(ms, LONGEST_TIMER_MS)))
        return
      }
      case 'stop-timer':
        return stopTimer(effect.name)
      case 'fault':
        return ports.onFault(effect.fault)
      case 'progress':
        return ports.onProgress(effect)
      case 'complete':
        await ports.install(effect.certificate, effect.share)
        effect.share?.destroy()
        return mailbox.pushOwn({ type: 'stored' })
      case 'archive':
        archive = { certificate: effect.certificate, dealings: effect.dealings }
        return
      case 'view-failed':
        return ports.onViewFailed(effect)
      case 'rolled-back':
        return ports.onRolledBack(effect.view)
      case 'abandon-refused':
        return ports.onAbandonRefused(effect.reason)
      case 'abandoned':
        abandoned = true
        return
    }
  }

  const performAll = async (effects: readonly CeremonyEffect[]): Promise<void> => {
    for (const effect of effects) {
      if (halted) return
      await perform(effect)
    }
  }

  /** Opens the engine, from the last durable snapshot where there is one. */
  const open = async (): Promise<readonly CeremonyEffect[]> => {
    const snapshot = await store.get('ceremony', recordId)
    engine = ports.startProcess()
    try {
      return await engine.open(snapshot)
    } finally {
      snapshot?.destroy()
    }
  }

  const openUntilItStays = async (): Promise<readonly CeremonyEffect[]> => {
    while (true) {
      try {
        return await open()
      } catch (cause) {
        await countRestart(cause)
      }
    }
  }

  const countRestart = async (cause: unknown): Promise<void> => {
    await engine?.stop()
    const crashed = isKmsError(cause) && (cause.code === 'engine-crashed' || cause.code === 'engine-timeout')
    if (!crashed || halted || restarts >= MAX_RESTARTS) throw cause
    restarts++
    ports.onRestart(restarts, cause)
  }

  /** The input that a process died of is not given to the next one, since peers send theirs again. Nobody says an order again. */
  const step = async (input: CeremonyInput): Promise<readonly CeremonyEffect[]> => {
    try {
      return (await engine?.step(input)) ?? []
    } catch (cause) {
      await countRestart(cause)
      const effects = await openUntilItStays()
      if (isOrder(input)) mailbox.pushOwn(input)
      return effects
    } finally {
      if (input.type === 'seeds') {
        input.dealing?.destroy()
        input.receiver?.destroy()
        input.oldShare?.destroy()
      }
    }
  }

  const release = async (): Promise<void> => {
    for (const timer of timers.values()) clearTimeout(timer)
    timers.clear()
    mailbox.close()
    await engine?.stop()
  }

  const run = async (): Promise<DriverResult> => {
    try {
      await performAll(await measured('engineMs', openUntilItStays))
      while (!halted) {
        if (abandoned) return { kind: 'abandoned' }
        if (archive !== undefined)
          return { kind: 'decided', archive, times: { ...times, totalMs: performance.now() - startMs } }
        const input = await mailbox.take()
        if (input === undefined) continue
        times.steps++
        await performAll(await measured('engineMs', () => step(input)))
      }
      return { kind: 'halted' }
    } catch (cause) {
      if (halted) return { kind: 'halted' }
      throw cause
    } finally {
      await release()
    }
  }

  let running: Promise<DriverResult> | undefined
  return {
    deliver: (from, input) => mailbox.pushFrom(from, input),
    order: (input) => mailbox.pushOwn(input),
    run: () => (running ??= run()),
    halt: async () => {
      halted = true
      mailbox.close()
      await engine?.stop()
      await running?.catch(() => undefined)
    },
  }
}

const isOrder = (input: CeremonyInput): input is Order => input.type === 'abandon' || input.type === 'supersede'
