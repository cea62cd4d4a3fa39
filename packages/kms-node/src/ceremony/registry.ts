import {
  attempt,
  bytesKey,
  type CeremonySpec,
  ceremonyId,
  type CommitteeConfig,
  equalBytes,
  isUndecidedInSlot,
  type ParticipantIndex,
  slotEntry,
  superseded,
  verifyEd25519,
} from '@tkms/dkg'
import type { PromisedSpec } from '../net/ceremony-frame.ts'
import type { NamedCommittee } from '../cluster/address-book.ts'
import { certifiedSharing } from '../cluster/cluster-file.ts'
import { isKmsError } from '../errors.ts'
import { createTurns, type Turns } from '../turns.ts'
import { loadArchive } from './archive.ts'
import { reportDoubleAuthorizations } from './auth-watch.ts'
import { asAbandonment, createAbandonmentBook, createAuthorizationBook } from './books.ts'
import { ceremonyError } from './errors.ts'
import { createImportedKeys, type ImportedKeys } from './imported-keys.ts'
import { createCeremonyRun } from './run.ts'
import type { CeremonyRun, CeremonyRunPorts, RunOf } from './run-ports.ts'
import { isAfter, isBelow, isOf } from './spec-order.ts'
import { isFinal } from './status.ts'
import { committeesToHear, promisedSpecs } from './tell-promises.ts'

/** Ceremonies that make progress at once at this node; those that wait for others do not count. */
const MAX_RUNNING = 8
/** Engines at once, those that wait included. */
const MAX_ENGINES = 32
/** Without progress for this long a ceremony waits. */
const WAITING_AFTER_S = 600

type OwnPorts =
  | 'authorizations'
  | 'abandonments'
  | 'imports'
  | 'onSlotChanged'
  | 'onAuthorization'
  | 'quiesce'
  | 'awaited'
  | 'inTurn'
  | 'isHeld'

export interface RegistryParams extends Omit<CeremonyRunPorts, OwnPorts> {
  /** Whose word is waited for before this node signs as a member of these committees (set-back.ts). Default: nobody's. */
  readonly awaited?: (committees: readonly CommitteeConfig[]) => readonly ParticipantIndex[]
  /** The committees of undecided ceremonies changed: other nodes may have to be connected. */
  readonly onCommittees: () => void
}

/** Every X that this node approved or abandoned, and the rules of their slots. */
export interface CeremonyRegistry {
  readonly imports: ImportedKeys
  /** One at a time: two engines of one ceremony, or two X in one slot, would make this node contradict itself. */
  readonly inTurn: Turns
  get(idHex: string): CeremonyRun | undefined
  list(): readonly CeremonyRun[]
  open(of: RunOf): CeremonyRun
  /** Resumes what earlier lives of this node left undecided. */
  resume(): Promise<void>
  /** Ends what a later attempt, a certificate or a newer epoch has overtaken. In its turn. */
  settle(): void
  /** An ABANDON of an X that is only proposed here. @returns true once a quorum decided against it */
  takeAbandonment(spec: CeremonySpec, signed: Uint8Array): Promise<boolean>
  /** An X that others told of after a restore, and that no run is of. */
  forgotten(idHex: string): CeremonySpec | undefined
  /** Whose ABANDON of X is here. */
  abandonersOf(spec: CeremonySpec): readonly ParticipantIndex[]
  /** Whether an X that this node approved may still be certified, as far as it knows. Its stage says less: others may go on without it. */
  isUndecided(spec: CeremonySpec): boolean
  /** An X that this node approves now, or approved, and that may still give this key another sharing. */
  undecidedOf(keyId: Uint8Array): CeremonySpec | undefined
  /** Every X of a new key that this node approved and that may still be certified. */
  undecidedNew(): readonly CeremonySpec[]
  /** What this node knows that a member promised, or may have. @param proposed X that are not approved here */
  promisesOf(asker: ParticipantIndex, proposed: readonly Pick<RunOf, 'spec'>[]): readonly PromisedSpec[]
  /** X counts as undecided from now on, before anything of it is durable, until the returned function is called. */
  reserve(spec: CeremonySpec): () => void
  /** Ends every undecided ceremony of a key that was destroyed, and erases what they kept. */
  forgetKey(keyId: Uint8Array): Promise<void>
  /** @throws KmsError `too-many-ceremonies` */
  requireRoom(): void
  openCommittees(): readonly NamedCommittee[]
  /** Ends every engine, and begins none any more. */
  stop(): Promise<void>
}

export function createCeremonyRegistry(params: RegistryParams): CeremonyRegistry {
  const { store, keys, clock, log, slots } = params
  const authorizations = createAuthorizationBook(store, verifyEd25519)
  const abandonments = createAbandonmentBook(store, verifyEd25519)
  const imports = createImportedKeys(store)
  const onAuthorization = reportDoubleAuthorizations(params)
  const paused = new Set<CeremonyRun>()
  /** Attempts that this node is about to authorize. */
  const promised = new Set<CeremonySpec>()
  /** What this node's operator approves now. */
  const reserved = new Set<CeremonySpec>()
  let stopped = false
  const inTurn = createTurns()
  const runs = new Map<string, CeremonyRun>()
  const nowS = (): number => Math.floor(clock.nowMs() / 1000)

  const isUndecided = (spec: CeremonySpec): boolean =>
    isUndecidedInSlot(slots.state(spec), ceremonyId(spec)) &&
    !keys.list().some(({ key }) => isOf(spec, key.keyId) && isAfter(key, spec))

  const known = (): readonly CeremonySpec[] => [
    ...reserved,
    ...slots.earlier,
    ...[...runs.values()].map(({ spec }) => spec),
  ]

  const settleOne = async (run: CeremonyRun): Promise<void> => {
    const { spec, ceremony } = run
    const wasPaused = paused.delete(run)
    const state = slots.state(spec)
    const entry = slotEntry(state, ceremony)
    if (entry?.certified !== undefined) return
    const certified = state.entries.some((other) => other.certified !== undefined && other.attempt >= spec.attempt)
    const overtaken =
      spec.kind === 'reshare' &&
      keys
        .list()
        .some(
          ({ key }) => equalBytes(key.keyId, spec.keyId) && isAfter(key, spec) && !equalBytes(key.ceremony, ceremony),
        )
    if (certified || overtaken) await run.supersede('certified')
    else if (superseded(state, spec)) await run.supersede('given-up')
    else if (wasPaused) await (entry?.abandoned === true ? run.abandon() : run.begin())
  }

  /** A lower attempt that would begin meanwhile is held, and goes on with the next `settle` as those do that are stopped. */
  const quiesce = async <T>(spec: CeremonySpec, promise: () => Promise<T>): Promise<T> => {
    promised.add(spec)
    try {
      for (const run of runs.values())
        if (run.isBusy && isBelow(run.spec, spec)) {
          paused.add(run)
          await run.halt()
        }
      return await promise()
    } finally {
      promised.delete(spec)
    }
  }

  const isHeld: CeremonyRunPorts['isHeld'] = (spec, stage) => {
    if (stopped) return true
    if (![...promised].some((higher) => isBelow(spec, higher)))
      return stage === 'running' && superseded(slots.state(spec), spec)
    const run = runs.get(bytesKey(ceremonyId(spec)))
    if (run !== undefined) paused.add(run)
    return true
  }

  /** One ceremony that does not end must not keep others from it. */
  const settleFailed = (cause: unknown): void => log.error({ cause: String(cause) }, 'ceremony-settle-failed')

  const settle = (): void => {
    inTurn(async () => {
      for (const run of runs.values()) await settleOne(run).catch(settleFailed)
      params.onCommittees()
    }).catch(settleFailed)
  }

  const open = (of: RunOf): CeremonyRun => {
    const ports = {
      ...params,
      authorizations,
      abandonments,
      imports,
      onAuthorization,
      quiesce,
      awaited: (spec: CeremonySpec) => params.awaited?.(committeesToHear(spec, slots.state(spec))) ?? [],
      inTurn,
      isHeld,
      onSlotChanged: settle,
    }
    const run = createCeremonyRun(of, ports)
    runs.set(bytesKey(run.ceremony), run)
    return run
  }

  const resumeOne = async (spec: CeremonySpec): Promise<void> => {
    await authorizations.load(spec)
    await abandonments.load(spec)
    const agreed = slotEntry(slots.state(spec), ceremonyId(spec))
    // Others told of it after a restore, and the operator has not said anything yet.
    if (agreed?.approval === 'none' && !agreed.abandoned) return
    const run = open({ spec, nodes: [] })
    const id = bytesKey(run.ceremony)
    const state = slots.state(spec)
    const entry = slotEntry(state, run.ceremony)
    if (entry?.decidedAgainst === true || abandonments.isDecided(spec)) {
      if (entry?.decidedAgainst !== true) await slots.decideAgainst(spec)
      await store.erase('ceremony', id)
      await imports.erase(spec)
      return run.end('abandoned', 'a quorum of its members abandoned it')
    }
    const snapshot = (await store.list('ceremony')).includes(id)
    const archive = await loadArchive(store, run.ceremony)
    const sharing = archive === undefined ? entry?.certified : attempt(() => certifiedSharing(archive.certificate))
    const key = sharing === undefined ? undefined : keys.find(sharing)
    if (key !== undefined && (archive !== undefined || !snapshot)) {
      if (snapshot) await store.erase('ceremony', id)
      await imports.erase(spec)
      return run.restore(archive ?? { certificate: key.key.certificate, dealings: [] }, key)
    }
    if (!snapshot && archive !== undefined)
      return run.end('failed', 'it was decided, but its key does not load: see the log', archive)
    if (superseded(state, spec)) return run.supersede('given-up')
    if (entry?.abandoned === true) return run.abandon()
    if (!snapshot && spec.notAfter < nowS()) return run.end('expired', 'its time ran out before it began at this node')
    await run.authorize()
  }

  /** Whether this node may still deal in it: approved, neither decided nor given up here, and begun or in time. */
  const mayStillDeal = (spec: CeremonySpec, begun: readonly string[]): boolean => {
    const entry = slotEntry(slots.state(spec), ceremonyId(spec))
    const open = entry !== undefined && entry.approval !== 'none' && !entry.abandoned && isUndecided(spec)
    const inTime = spec.notAfter >= nowS() || begun.includes(bytesKey(ceremonyId(spec)))
    return open && inTime && !superseded(slots.state(spec), spec)
  }

  return {
    imports,
    inTurn,
    get: (id) => runs.get(id),
    list: () => [...runs.values()],
    open,
    resume: async () => {
      for (const spec of slots.earlier)
        try {
          await resumeOne(spec)
        } catch (cause) {
          // One ceremony that does not go on must not keep the node from serving.
          if (!isKmsError(cause)) throw cause
          const ceremony = bytesKey(ceremonyId(spec))
          log.error({ ceremony: `0x${ceremony}`, code: cause.code }, 'ceremony-not-resumed')
          runs.get(ceremony)?.end('failed', `it does not go on after the restart: ${cause.message}`)
        }
      const begun = await store.list('ceremony')
      await imports.eraseOthers(slots.earlier.filter((spec) => mayStillDeal(spec, begun)))
      settle()
    },
    settle,
    takeAbandonment: async (spec, signed) => {
      const entry = asAbandonment(spec, signed)
      if (entry === undefined || !(await abandonments.add(spec, entry)) || !abandonments.isDecided(spec)) return false
      await slots.decideAgainst(spec)
      return true
    },
    forgotten: (id) => slots.earlier.find((spec) => bytesKey(ceremonyId(spec)) === id),
    abandonersOf: (spec) => abandonments.of(spec).map(({ index }) => index),
    isUndecided,
    undecidedOf: (keyId) => known().find((spec) => isOf(spec, keyId) && (reserved.has(spec) || isUndecided(spec))),
    promisesOf: (asker, proposed) => {
      const authorizationOf = (spec: CeremonySpec): Uint8Array | undefined =>
        authorizations.of(spec).find(({ index }) => index === asker)?.signature ??
        params.waitingRoom.authorizationOf(spec, asker)
      const specs = [...known(), ...proposed.map(({ spec }) => spec)]
      return promisedSpecs(asker, { specs, slot: (spec) => slots.state(spec), authorizationOf, keys })
    },
    undecidedNew: () => known().filter((spec) => spec.epoch === 0 && (reserved.has(spec) || isUndecided(spec))),
    reserve: (spec) => {
      reserved.add(spec)
      return () => reserved.delete(spec)
    },
    forgetKey: (keyId) =>
      inTurn(async () => {
        for (const run of runs.values()) if (isOf(run.spec, keyId)) await run.supersede('destroyed')
      }),
    requireRoom: () => {
      const engines = [...runs.values()].filter((run) => run.isBusy)
      const moving = engines.filter(({ status }) => nowS() - (status.since ?? 0) < WAITING_AFTER_S)
      if (moving.length >= MAX_RUNNING || engines.length >= MAX_ENGINES)
        throw ceremonyError('too-many-ceremonies', 'too many ceremonies are under way at this node', {
          retryable: true,
        })
    },
    openCommittees: () =>
      [...runs.values()]
        .filter(({ status }) => !isFinal(status))
        .flatMap(({ spec }) => {
          const title = `the ceremony of ${spec.keyName} generation ${spec.generation} epoch ${spec.epoch}`
          const configs = spec.kind === 'reshare' ? [spec.newConfig, spec.oldConfig] : [spec.newConfig]
          return configs.map((config) => ({ title, config }))
        }),
    stop: async () => {
      stopped = true
      await Promise.all([...runs.values()].map((run) => run.halt()))
    },
  }
}
