import {
  bytesKey,
  createDestroyCollector,
  decodeErased,
  destroyedKeyOf,
  type DestroyCollectorState,
  type DestroyEffect,
  type DestroyInput,
  type DestroyStep,
  equalBytes,
  type KeyId,
  memberAt,
  type ParticipantIndex,
  Secret,
  type VerifiedKey,
  verifyEd25519,
} from '@tkms/dkg'
import { COMMAND } from '../command.ts'
import { isKmsError } from '../errors.ts'
import { createTurns, type Turns } from '../turns.ts'
import { type DestroyableKey, destroyError, type DestroyServiceParams } from './ports.ts'
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
   * @throws KmsError `unknown-key`, `not-a-member`, `key-destroyed`, `newest-generation`, `ceremony-open`, `not-confirmed`
   */
  approve(
    keyName: string,
    generation: number,
    confirm: string | undefined,
    options?: { readonly last?: boolean | undefined },
  ): Promise<DestroyStatus>
  list(): readonly DestroyStatus[]
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
  halted: boolean
}

export function createDestroyService(params: DestroyServiceParams): DestroyService {
  const { self, sign, keys, ceremonies, store, network, clock, timings, log, nameOf } = params
  const collector = createDestroyCollector({ sign, verify: verifyEd25519 })
  const entries = new Map<string, Entry>()
  /** Keys whose orders are being signed. */
  const signing = new Map<string, number>()
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
    const entry: Entry = { state: step.state, keyId: known.keyId, current, inTurn: createTurns(), halted: false }
    entries.set(bytesKey(known.keyId), entry)
    void entry.inTurn(() => perform(entry, step.effects))
    return entry
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
        void take(entry, { type: 'erased' })
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
        if (effect.phase === 'gone') log.info(about(entry.current), 'key-gone')
        return
      }
    }
  }

  const halt = (entry: Entry): void => {
    entry.halted = true
    clearTimeout(entry.timer)
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

  const requireAllowed = (
    known: DestroyableKey | undefined,
    keyName: string,
    confirm: string | undefined,
    last: boolean,
  ): DestroyableKey => {
    const [current] = known?.sharings ?? []
    if (known === undefined || current === undefined)
      throw destroyError('unknown-key', `this node knows no such generation of ${keyName}`, { data: { keyName } })
    const keyId = `0x${bytesKey(known.keyId)}`
    if (known.destroyedAtMs !== undefined) throw destroyError('key-destroyed', 'this key was destroyed for ever')
    if (memberAt(current.config, self) === undefined)
      throw destroyError('not-a-member', `this node is not in the committee of ${keyName}`)
    if (known.newest && !last)
      throw destroyError(
        'newest-generation',
        `generation ${current.generation} of ${keyName} is its newest: clients would go on encrypting for it, and nobody could open that. ` +
          `Rotate first (${COMMAND} keys rotate ${keyName}), or say with --last that the name ends with it`,
        { data: { keyName, generation: current.generation } },
      )
    if (confirm?.toLowerCase() !== keyId)
      throw destroyError(
        'not-confirmed',
        `destroying ${keyName} generation ${current.generation} makes everything encrypted for it unreadable for ever: ` +
          `confirm with --confirm ${keyId}`,
        { data: { keyId } },
      )
    const ceremony = ceremonies.undecidedOf(known.keyId)
    if (ceremony !== undefined)
      throw destroyError(
        'ceremony-open',
        `ceremony ${ceremony.slice(0, 18)} may still give this key new shares: let it finish, or have a quorum of its new members give it up ` +
          `(${COMMAND} ceremony abandon ${ceremony.slice(0, 18)}), or finish its next attempt (ceremony propose --supersede)`,
        { data: { ceremony } },
      )
    return known
  }

  return {
    start: async () => {
      for (const id of await store.list('destroy')) {
        const known = keys.list().find(({ keyId }) => bytesKey(keyId) === id)
        const record = await store.get('destroy', id)
        try {
          if (known !== undefined && record !== undefined)
            record.use((snapshot) => add(known, (of) => collector.resume({ ...of, self, timings }, snapshot)))
        } catch (cause) {
          if (!isKmsError(cause)) throw cause
          log.error({ keyId: id, cause }, 'destroy-record-refused')
        }
        record?.destroy()
      }
      // What was signed is known before the first ceremony resumes.
      await Promise.all([...entries.values()].map((entry) => entry.inTurn(async () => {})))
    },
    stop: async () => {
      for (const entry of entries.values()) halt(entry)
      await Promise.all([...entries.values()].map((entry) => entry.inTurn(async () => {})))
    },
    onFrame: (from, message) => {
      const keyId = destroyedKeyOf(message)
      const entry = keyId && entryOf(keyId)
      if (entry !== undefined) void take(entry, { type: 'message', from, message })
    },
    onErased: (message) => {
      const keyId = erasedKeyOf(message)
      const entry = keyId && entries.get(bytesKey(keyId))
      if (entry !== undefined) void take(entry, { type: 'erased-statement', message })
    },
    onPeerConnected: (peer) => {
      for (const entry of entries.values()) void take(entry, { type: 'peer-connected', peer })
    },
    onKeysChanged: () => {
      for (const [id, entry] of entries) {
        const latest = find(entry.keyId)?.sharings[0]
        const collecting = entry.status === undefined || entry.status.phase === 'collecting'
        if (!collecting || latest === undefined || equalBytes(latest.sharingId, entry.current.sharingId)) continue
        halt(entry)
        entries.delete(id)
        void entry.inTurn(() => store.erase('destroy', id))
        log.warn(about(entry.current), 'destroy-order-void')
      }
    },
    approve: async (keyName, generation, confirm, { last = false } = {}) => {
      const named = keys
        .list()
        .find(({ sharings }) => sharings[0]?.keyName === keyName && sharings[0].generation === generation)
      const { keyId } = requireAllowed(named, keyName, confirm, last)
      const entry = entryOf(keyId)
      if (entry === undefined) throw destroyError('unknown-key', `this node knows no key ${keyName}`)
      // From the look at its ceremonies on, not only from the signature on: none may begin in between.
      const id = bytesKey(keyId)
      signing.set(id, (signing.get(id) ?? 0) + 1)
      try {
        await take(entry, { type: 'approve' })
      } finally {
        signing.set(id, (signing.get(id) ?? 1) - 1)
      }
      const [status] = statusOf(entry)
      if (status === undefined) throw destroyError('unknown-key', `this node knows no key ${keyName}`)
      log.warn(about(entry.current), 'destroy-order-signed')
      return status
    },
    list: () => [...entries.values()].filter(isShown).flatMap(statusOf),
    hasSigned: (keyId) =>
      (signing.get(bytesKey(keyId)) ?? 0) > 0 || entries.get(bytesKey(keyId))?.status?.signedHere === true,
  }
}

const about = ({ keyId, keyName, generation, epoch }: VerifiedKey): Readonly<Record<string, unknown>> => ({
  keyId: `0x${bytesKey(keyId)}`,
  keyName,
  generation,
  epoch,
})

function erasedKeyOf(message: Uint8Array): KeyId | undefined {
  try {
    return decodeErased(message).statement.keyId
  } catch (cause) {
    if (isKmsError(cause)) return undefined
    throw cause
  }
}
