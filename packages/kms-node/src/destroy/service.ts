import {
  bytesKey,
  createDestroyCollector,
  destroyedKeyOf,
  destroyOrderProgress,
  destroySignatureOn,
  type DestroyCollectorState,
  type DestroyEffect,
  type DestroyInput,
  type DestroyStep,
  equalBytes,
  type KeyId,
  type ParticipantIndex,
  Secret,
  type UnseenSharing,
  type VerifiedKey,
  verifyEd25519,
} from '@tkms/dkg'
import { COMMAND } from '../command.ts'
import { isKmsError } from '../errors.ts'
import { createTurns, type Turns } from '../turns.ts'
import { about, erasedKeyOf } from './about.ts'
import { askForUnseen } from './ask-unseen.ts'
import { type DestroyableKey, destroyError, type DestroyServiceParams } from './ports.ts'
import { requireAllowed } from './require-allowed.ts'
import { adviseOnDestruction, type DestroyStatus, destroyStatus } from './status.ts'

/** Orders to destroy keys, and the proof that it happened, at one node (protocol 8). */
export interface DestroyService {
  /** Resumes every order under way; call before the network starts. */
  start(): Promise<void>
  stop(): Promise<void>
  /** The body of a `destroy` frame. */
  onFrame(from: ParticipantIndex, message: Uint8Array): void
  /** The body of an `erased` frame. */
  onErased(message: Uint8Array): void
  onPeerConnected(peer: ParticipantIndex): void
  /** The keys of this node changed: an order for a sharing that is not the latest can never be completed. */
  onKeysChanged(): void
  /**
   * This node's word that the key goes for ever. With Q such words every member erases.
   * @param confirm the id of the key, `0x` and 64 hex digits: a key is not destroyed by a slip
   * @param options `last`: the name ends with this generation, although clients encrypt for it
   * @throws KmsError `unknown-key`, `not-a-member`, `key-destroyed`, `newest-generation`, `ceremony-open`, `not-confirmed`,
   *   `restored`, `interrupted`
   */
  approve(
    keyName: string,
    generation: number,
    confirm: string | undefined,
    options?: { readonly last?: boolean | undefined },
  ): Promise<DestroyStatus>
  list(): readonly DestroyStatus[]
  /** `destroy` messages with this member's signature on orders that are not complete. */
  signedBy(member: ParticipantIndex): readonly Uint8Array[]
  /** As `onFrame`; durable when it resolves. @throws KmsError `interrupted` */
  take(from: ParticipantIndex, message: Uint8Array): Promise<void>
  /** Whether this node signed an order for the key, or is about to: it begins no ceremony of it any more (protocol 8). */
  hasSigned(keyId: Uint8Array): boolean
}

interface Entry {
  state: DestroyCollectorState
  readonly keyId: KeyId
  readonly current: VerifiedKey
  readonly inTurn: Turns
  timer?: NodeJS.Timeout
  status?: DestroyStatus
  unseen: readonly UnseenSharing[]
  halted: boolean
}

export function createDestroyService(params: DestroyServiceParams): DestroyService {
  const { self, sign, keys, ceremonies, store, network, clock, timings, log, nameOf } = params
  const collector = createDestroyCollector({ sign, verify: verifyEd25519 })
  const entries = new Map<string, Entry>()
  /** Keys whose orders are being signed. */
  const signing = new Map<string, number>()
  let stopped = false
  const named = (index: number) => ({ index, name: nameOf(index) })
  const nowS = (): number => Math.floor(clock.nowMs() / 1000)

  const find = (keyId: Uint8Array): DestroyableKey | undefined =>
    keys.list().find((known) => equalBytes(known.keyId, keyId))

  const add = (
    known: DestroyableKey,
    first: (of: { sharings: readonly VerifiedKey[]; current: VerifiedKey }) => DestroyStep,
  ) => {
    const [current] = known.sharings
    if (current === undefined) return undefined
    const step = first({ sharings: known.sharings, current })
    const entry: Entry = {
      state: step.state,
      keyId: known.keyId,
      current,
      inTurn: createTurns(),
      unseen: [],
      halted: false,
    }
    entries.set(bytesKey(known.keyId), entry)
    void entry.inTurn(() => perform(entry, step.effects))
    return entry
  }

  /** Goes on from the record, if there is one. */
  const load = async (id: string): Promise<void> => {
    const known = keys.list().find(({ keyId }) => bytesKey(keyId) === id)
    const record = known && (await store.get('destroy', id))
    if (known === undefined || record === undefined) return
    try {
      record.use((snapshot) => add(known, (of) => collector.resume({ ...of, self, timings }, snapshot)))
    } catch (cause) {
      if (!isKmsError(cause)) throw cause
      log.error({ keyId: id, cause }, 'destroy-record-refused')
    } finally {
      record.destroy()
    }
  }

  /** The collector of a key that is known here, a new one if there is none yet. */
  const entryOf = (keyId: Uint8Array): Entry | undefined => {
    const existing = entries.get(bytesKey(keyId))
    if (existing !== undefined) return existing
    const known = find(keyId)
    return known && add(known, (of) => collector.open({ ...of, self, timings }))
  }

  const take = (entry: Entry, input: DestroyInput): Promise<void> =>
    entry.inTurn(async () => {
      if (entry.halted) return
      const { state, effects } = collector.step(entry.state, input)
      entry.state = state
      await perform(entry, effects)
    })

  const takeMessage = async (from: ParticipantIndex, message: Uint8Array): Promise<boolean> => {
    const keyId = destroyedKeyOf(message)
    const entry = keyId && entryOf(keyId)
    if (entry) await take(entry, { type: 'message', from, message })
    return entry?.halted !== true
  }

  const perform = async (entry: Entry, effects: readonly DestroyEffect[]): Promise<void> => {
    try {
      for (const effect of effects) await performOne(entry, effect)
    } catch (cause) {
      halt(entry)
      log.error({ ...about(entry.current), cause }, 'destroy-interrupted')
    }
  }

  const performOne = async (entry: Entry, effect: DestroyEffect): Promise<void> => {
    switch (effect.type) {
      case 'persist': {
        const record = Secret.copyOf(effect.snapshot)
        return store.put('destroy', bytesKey(entry.keyId), record)
      }
      case 'send': {
        const frame = { type: 'destroy', message: effect.message } as const
        if (effect.to === 'all') network.broadcast(frame)
        else network.send(effect.to, frame)
        return
      }
      case 'erase':
        log.warn(about(entry.current), 'key-destroying')
        await keys.destroyKey(entry.keyId, effect.order)
        await ceremonies.forgetKey(entry.keyId)
        log.warn(about(entry.current), 'key-destroyed')
        void take(entry, { type: 'erased', sharings: find(entry.keyId)?.sharings ?? [entry.current] })
        return
      case 'start-timer':
        clearTimeout(entry.timer)
        if (!entry.halted) entry.timer = setTimeout(() => void take(entry, { type: 'timer' }), effect.ms).unref()
        return
      case 'stop-timer':
        return clearTimeout(entry.timer)
      case 'progress': {
        const before = entry.status
        const since = before?.phase === effect.phase ? before.since : nowS()
        entry.status = destroyStatus(entry.current, effect, { self, since, named })
        const isNews = (before?.signatures.have ?? 0) === 0 && effect.signatures.have > 0
        if (isNews && effect.phase === 'collecting' && !entry.status.signedHere)
          log.warn(about(entry.current), 'destroy-requested')
        askForUnseen(network, (entry.unseen = effect.unseen))
        if (effect.phase === 'gone') log.info(about(entry.current), 'key-gone')
        return
      }
    }
  }

  const halt = (entry: Entry): void => {
    entry.halted = true
    clearTimeout(entry.timer)
  }

  /**
   * An order that is not complete here names a sharing that is not the latest any more: it is not collected any further, and the latest
   * needs one of its own. It can never be complete where the certificate that followed has a full AUTH, and only then it is void: with a
   * degraded one, or for another attempt, Q members may order it all the same, and the key is gone where they do.
   */
  const dropOvertaken = async (id: string, entry: Entry): Promise<void> => {
    const { phase, signatures } = destroyOrderProgress(entry.state)
    const sharings = find(entry.keyId)?.sharings ?? []
    const [latest] = sharings
    if (entry.halted || phase !== 'collecting' || latest === undefined) return
    const { sharingId } = entry.current
    if (equalBytes(latest.sharingId, sharingId)) return
    halt(entry)
    if (entries.get(id) === entry) entries.delete(id)
    await store.erase('destroy', id)
    if (signatures === 0) return
    const next = sharings.find(({ prevOutcome }) => prevOutcome !== undefined && equalBytes(prevOutcome, sharingId))
    log.warn(about(entry.current), next?.authorization === 'full' ? 'destroy-order-void' : 'destroy-order-overtaken')
  }

  const isShown = ({ status }: Entry): boolean =>
    status !== undefined && (status.phase !== 'collecting' || status.signatures.have > 0)

  const statusOf = ({ status: known, keyId }: Entry): readonly DestroyStatus[] => {
    if (known === undefined) return []
    const isLast = known.phase === 'collecting' && find(keyId)?.newest === true
    const status: DestroyStatus = isLast ? { ...known, last: true } : known
    const advice = adviseOnDestruction(status, COMMAND)
    return [advice === undefined ? status : { ...status, advice }]
  }

  /** The collector that takes an approval: of the latest sharing, and none that broke off. */
  const collectorFor = async (keyId: KeyId): Promise<Entry | undefined> => {
    const id = bytesKey(keyId)
    const existing = entries.get(id)
    if (existing !== undefined) await existing.inTurn(() => dropOvertaken(id, existing))
    if (!stopped && entries.get(id)?.halted === true) {
      entries.delete(id)
      await load(id)
    }
    return entryOf(keyId)
  }

  return {
    start: async () => {
      for (const id of await store.list('destroy')) await load(id)
      // What was signed is known before the first ceremony resumes.
      await Promise.all([...entries.values()].map((entry) => entry.inTurn(async () => {})))
    },
    stop: async () => {
      stopped = true
      for (const entry of entries.values()) halt(entry)
      await Promise.all([...entries.values()].map((entry) => entry.inTurn(async () => {})))
    },
    onFrame: (from, message) => void takeMessage(from, message),
    signedBy: (member) => [...entries.values()].flatMap(({ state }) => destroySignatureOn(state, member) ?? []),
    take: async (from, message) => {
      if (!(await takeMessage(from, message))) throw destroyError('interrupted', 'an order could not be kept')
    },
    onErased: (message) => {
      const keyId = erasedKeyOf(message)
      const entry = keyId && entries.get(bytesKey(keyId))
      if (entry !== undefined) void take(entry, { type: 'erased-statement', message })
    },
    onPeerConnected: (peer) => {
      for (const entry of entries.values()) {
        askForUnseen(network, entry.unseen, peer)
        void take(entry, { type: 'peer-connected', peer })
      }
    },
    onKeysChanged: () => {
      for (const [id, entry] of entries) {
        void entry.inTurn(() => dropOvertaken(id, entry))
        void take(entry, { type: 'sharings', sharings: find(entry.keyId)?.sharings ?? [] })
      }
    },
    approve: async (keyName, generation, confirm, { last = false } = {}) => {
      const named = keys
        .list()
        .find(({ sharings }) => sharings[0]?.keyName === keyName && sharings[0].generation === generation)
      const { keyId } = requireAllowed(params, named, { keyName, confirm, last })
      const id = bytesKey(keyId)
      // From the look at its ceremonies on, not only from the signature on: none may begin in between.
      signing.set(id, (signing.get(id) ?? 0) + 1)
      try {
        const entry = await collectorFor(keyId)
        if (entry === undefined) throw destroyError('unknown-key', `this node knows no key ${keyName}`)
        await take(entry, { type: 'approve' })
        const [status] = statusOf(entry)
        if (entry.halted || status === undefined)
          throw destroyError('interrupted', 'the order is not signed: see the log of this node, then sign it again')
        log.warn(about(entry.current), 'destroy-order-signed')
        return status
      } finally {
        signing.set(id, (signing.get(id) ?? 1) - 1)
      }
    },
    list: () => [...entries.values()].filter(isShown).flatMap(statusOf),
    hasSigned: (keyId) =>
      (signing.get(bytesKey(keyId)) ?? 0) > 0 || entries.get(bytesKey(keyId))?.status?.signedHere === true,
  }
}
