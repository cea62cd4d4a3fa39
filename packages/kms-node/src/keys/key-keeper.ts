import {
  bytesKey,
  configHash,
  equalBytes,
  KmsError,
  type KeyId,
  type Secret,
  type SharingId,
  type VerifiedKey,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import { createTurns } from '../turns.ts'
import { type Accepted, acceptCertificates, acceptOwn } from './accept-certificate.ts'
import { certificateNames, certificatesByKey } from './certificate-names.ts'
import { type BookEntry, createKeyBook, isNewestGeneration } from './key-book.ts'
import type { KeyKeeper, KeyKeeperParams, KeyLife, Learned, LivingSharing } from './keeper-types.ts'
import { fullerKey, isSignedBy, type KnownSharing, knownSharing, newRecord } from './known-sharing.ts'
import { lifeOf, type Retirement, type SharingLife } from './life.ts'
import { standingOf } from './key-standing.ts'
import { loadKeys } from './load-keys.ts'
import { createRetirementClock } from './retirement-clock.ts'
import type { SharingRecord } from './sharing-record.ts'
import { createWitnesses } from './witnesses.ts'

export function createKeyKeeper(params: KeyKeeperParams): KeyKeeper {
  const { shares, table, odometer, clock, times, events } = params
  const book = createKeyBook()
  const accept = { ...params, book }
  const inTurn = createTurns()
  const witnesses = createWitnesses()
  let opened = false

  const lifeOfEntry = ({ sharings, destroyed }: BookEntry): readonly SharingLife<LivingSharing>[] => {
    const living = sharings.map((sharing) => ({ ...sharing, isEstablished: witnesses.isEstablished(sharing) }))
    if (destroyed === undefined) return lifeOf(living, odometer.read(), times)
    return living.map((sharing) => ({ sharing, state: 'erased', servable: false }))
  }

  const arrange = (keyId: KeyId): void => {
    const entry = book.get(keyId)
    const standing = entry && standingOf(entry, lifeOfEntry(entry), opened)
    if (standing !== undefined) table.arrange(standing)
  }

  const changed = (keyId: KeyId): void => {
    arrange(keyId)
    events.onChanged(keyId)
    retirement.wake()
  }

  const update = (
    sharing: KnownSharing,
    change: Partial<Pick<KnownSharing, 'key' | 'record' | 'hasShare' | 'damaged'>>,
  ): void => book.put(knownSharing(params, { ...sharing, ...change }))

  /** Makes a share durable, reads it back from the disk and takes that copy into service (protocol 5). */
  const keepShare = async (key: VerifiedKey, certificate: Uint8Array, share: Secret): Promise<void> => {
    await shares.putShare({ certificate, share })
    const stored = await shares.readShare(key.sharingId)
    if (stored?.share === undefined)
      throw new KmsError('self-check-failed', 'the share that was just stored cannot be read back')
    table.hold(key, stored.share)
  }

  const see = async (
    key: VerifiedKey,
    word: Pick<SharingRecord, 'mayErase' | 'refusesEarlier'>,
  ): Promise<SharingRecord> => {
    await odometer.save()
    const record = newRecord(key.certificate, { reading: odometer.read(), atMs: clock.nowMs() }, word)
    await shares.putSharing(record)
    return record
  }

  /** A known sharing as another certificate of it tells, durable. An order to erase counts from when it came (protocol 8). */
  const seeAgain = async (known: KnownSharing, key: VerifiedKey, mayErase: boolean): Promise<SharingRecord> => {
    const isOrder = mayErase && !known.record.mayErase
    if (!isOrder && key === known.key) return known.record
    await odometer.save()
    const now = { reading: odometer.read(), atMs: clock.nowMs() }
    const { tombstone, refusesEarlier } = known.record
    const record = isOrder
      ? { ...newRecord(key.certificate, now, { mayErase, refusesEarlier }), tombstone }
      : { ...known.record, certificate: key.certificate }
    await shares.putSharing(record)
    return record
  }

  const requireAlive = (keyId: KeyId): void => {
    if (book.get(keyId)?.destroyed !== undefined)
      throw new KmsError('key-destroyed', 'this key was destroyed for ever', { data: { keyId: bytesKey(keyId) } })
  }

  const install: KeyKeeper['install'] = (certificate, share, { approvedHere, mayErase }) =>
    inTurn(async () => {
      const { keyId } = certificateNames(certificate)
      requireAlive(keyId)
      const { key: accepted, late } = acceptOwn(accept, certificate, approvedHere)
      const known = book.sharing(accepted.sharingId)
      const key = (known && fullerKey(params, known, certificate)) ?? accepted
      if (late && known === undefined) return key
      const counts = mayErase && (approvedHere || key.authorization !== 'degraded')
      const keeps = share !== undefined && !late && !(known?.hasShare ?? false)
      if (keeps) await keepShare(key, certificate, share)
      if (known === undefined) {
        const record = await see(key, { mayErase: counts, refusesEarlier: false })
        book.put(knownSharing(params, { key, record, hasShare: keeps, damaged: false }))
      } else {
        const record = await seeAgain(known, key, counts)
        update(known, { key, record, hasShare: known.hasShare || keeps, damaged: known.damaged && !keeps })
      }
      changed(keyId)
      return key
    })

  const learnKey = async ({ steps }: Accepted, accepted: readonly Uint8Array[]): Promise<void> => {
    for (const key of steps) {
      const trusted = key.authorization !== 'degraded' || includes(accepted, configHash(key.config))
      const mayErase = trusted && (await params.mayErase(key))
      const isGone = book.get(key.keyId)?.destroyed !== undefined
      const proven = isSignedBy(params, key.certificate)
      const isBehind = !isGone && (proven || !opened) && !(await params.isUnderWay(key.ceremony))
      const record = await see(key, { mayErase, refusesEarlier: isBehind && mayErase })
      const sharing = knownSharing(params, { key, record, hasShare: false, damaged: false })
      book.put(sharing)
      if (isBehind && (sharing.isMember || proven)) events.onBehind(key, proven)
    }
    const [first] = steps
    if (first !== undefined) changed(first.keyId)
  }

  /** Certificates of sharings that were known already, with the AUTH that is lacking here. */
  const learnFuller = async (candidates: readonly Uint8Array[], learned: NewlyLearned): Promise<void> => {
    for (const certificate of candidates) {
      const known = book.sharing(certificateNames(certificate).sharingId)
      const key = known && unlessRefused(() => fullerKey(params, known, certificate), learned.refused)
      if (known === undefined || key === undefined) continue
      update(known, { key, record: await seeAgain(known, key, await params.mayErase(key)) })
      learned.keys.push(key)
      changed(key.keyId)
    }
  }

  const learn: KeyKeeper['learn'] = (certificates, { accepted = [] } = {}) =>
    inTurn(async () => {
      const learned: NewlyLearned = { keys: [], refused: [] }
      for (const [keyId, candidates] of certificatesByKey(certificates, learned.refused)) {
        const result = acceptCertificates(accept, keyId, candidates, accepted)
        learned.keys.push(...result.steps)
        learned.refused.push(...result.refused)
        await learnKey(result, accepted)
        await learnFuller(candidates, learned)
      }
      return learned satisfies Learned
    })

  /** The tombstone, the data key, the file; of a share that is out of service. */
  const erase = async (sharing: KnownSharing, successor: KnownSharing): Promise<void> => {
    const tombstone = { successor: successor.key.sharingId, erasedAtMs: Math.max(0, Math.floor(clock.nowMs())) }
    await shares.erase(sharing.record, tombstone)
    update(sharing, { record: { ...sharing.record, tombstone }, hasShare: false, damaged: false })
    changed(sharing.key.keyId)
    events.onErased(sharing.key, successor.key)
  }

  const retiring = (): readonly (Retirement<LivingSharing> & { readonly sharing: LivingSharing })[] =>
    book
      .list()
      .flatMap(lifeOfEntry)
      .flatMap((life) => (life.retirement === undefined ? [] : [{ sharing: life.sharing, ...life.retirement }]))

  const due = (): readonly (Retirement<LivingSharing> & { readonly sharing: LivingSharing })[] =>
    retiring().filter(({ dueInMs }) => dueInMs === 0)

  /** Out of service first. Requests under way are waited for out of turn: nothing else waits for them. */
  const eraseDue = async (): Promise<void> => {
    await inTurn(() => odometer.save())
    for (const { sharing } of due()) {
      await table.release(sharing.key.sharingId)
      await inTurn(async () => {
        const still = due().find((other) => equalBytes(other.sharing.key.sharingId, sharing.key.sharingId))
        if (still !== undefined) await erase(still.sharing, still.successor)
      })
    }
  }

  const retirement = createRetirementClock({
    nextDueMs: () => {
      const [next] = retiring().toSorted((left, right) => left.dueInMs - right.dueInMs)
      return next?.dueInMs
    },
    tick: eraseDue,
    onError: (cause) => events.onError(cause),
  })

  return {
    start: () =>
      inTurn(async () => {
        const problems = loadKeys(accept, await shares.load())
        for (const { sharings } of book.list()) for (const { seen } of sharings) odometer.raise(seen)
        await odometer.save()
        for (const { keyId } of book.list()) arrange(keyId)
        retirement.wake()
        return problems
      }),
    open: () => {
      opened = true
      for (const { keyId } of book.list()) arrange(keyId)
    },
    isOpen: () => opened,
    install,
    learn,
    heard: (peer, heads) => {
      witnesses.heard(peer, heads)
      retirement.wake()
    },
    eraseDue,
    repaired: (sharingId, share) =>
      inTurn(async () => {
        const known = book.sharing(sharingId)
        const latest = known && book.get(known.key.keyId)
        if (known === undefined || latest?.sharings[0] !== known || latest.destroyed !== undefined)
          throw new KmsError('share-erased', 'only the share of the latest sharing of a living key is repaired', {
            data: { sharingId: bytesKey(sharingId) },
          })
        if (known.hasShare) return
        await keepShare(known.key, known.record.certificate, share)
        update(known, { hasShare: true, damaged: false })
        changed(known.key.keyId)
      }),
    destroyKey: async (keyId, order) => {
      await inTurn(async () => {
        const destroyed = { keyId, order, destroyedAtMs: Math.max(0, Math.floor(clock.nowMs())) }
        if (book.get(keyId)?.destroyed === undefined) book.destroy(destroyed)
        arrange(keyId)
        await shares.destroy(destroyed)
        for (const sharing of book.get(keyId)?.sharings ?? []) update(sharing, { hasShare: false, damaged: false })
        changed(keyId)
      })
      for (const { key } of book.get(keyId)?.sharings ?? []) await table.release(key.sharingId)
    },
    list: () => {
      const entries = book.list()
      return entries.map((entry): KeyLife => {
        const { keyId, destroyed, sharings } = entry
        const latest = sharings[0]?.key
        return {
          keyId,
          ...(destroyed !== undefined && { destroyedAtMs: destroyed.destroyedAtMs }),
          newest: latest !== undefined && destroyed === undefined && isNewestGeneration(entries, latest),
          sharings: lifeOfEntry(entry),
        }
      })
    },
    find: (sharingId: SharingId) => book.sharing(sharingId),
    copyShare: (sharingId) => table.copyShare(sharingId),
    orders: () => book.list().flatMap(({ destroyed }) => (destroyed === undefined ? [] : [destroyed])),
    stop: async () => {
      await retirement.stop()
      await inTurn(() => odometer.save())
    },
  }
}

interface NewlyLearned {
  readonly keys: VerifiedKey[]
  readonly refused: KmsError[]
}

function unlessRefused<T>(read: () => T, refused: KmsError[]): T | undefined {
  try {
    return read()
  } catch (error) {
    if (!isKmsError(error)) throw error
    refused.push(error)
    return undefined
  }
}

const includes = (hashes: readonly Uint8Array[], hash: Uint8Array): boolean =>
  hashes.some((one) => equalBytes(one, hash))
