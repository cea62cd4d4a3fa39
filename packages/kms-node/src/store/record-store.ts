import { join } from 'node:path'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { Secret } from '@tkms/dkg'
import type { Clock, RecordKind, RecordStore, Rng, Sealer } from '../ports.ts'
import { KEY_BYTES, NONCE_BYTES, openAead, sealAead, TAG_BYTES } from './aead.ts'
import { KEYRING_FILE, LOCK_FILE, recordAad, removeOrphans, requirePrivate } from './directory.ts'
import { storeError } from './errors.ts'
import { type FileSystem, nodeFileSystem } from './file-system.ts'
import {
  encodeKeyring,
  type Keyring,
  type KeyringEntry,
  MAX_RECORD_ID_BYTES,
  recordName,
  takeKeyring,
} from './keyring.ts'
import { encodeKeyringFile, keyringAad, parseKeyringFile, STORE_ID_BYTES } from './keyring-file.ts'
import { acquireLock, type StoreLock } from './lock.ts'
import { prepareCounter } from './new-counter.ts'
import { type CommitCounter, type CommitReason, countCommits, openCommits } from './rollback.ts'
import { systemClock } from '../system.ts'

const MAX_KEYRING_FILE_BYTES = 512 * 1024 * 1024
export const MAX_RECORD_BYTES: number = 64 * 1024 * 1024

export interface RecordStoreOptions {
  /** Belongs to the store alone; mode 0700. */
  readonly directory: string
  readonly sealer: Sealer
  readonly rng: Rng
  readonly fileSystem?: FileSystem
  readonly clock?: Pick<Clock, 'monotonicMs'>
}

export interface OpenRecordStore extends RecordStore {
  /** 32 bytes, drawn when the store was made: every sealed byte is bound to it. */
  readonly storeId: Uint8Array
  /** Writes the keyring once more, under whatever the sealer seals with now; where commits are counted, nothing before it opens again. */
  renew(): Promise<void>
  /** Waits for what is under way, wipes the data keys, lets the directory go. Idempotent. */
  close(): Promise<void>
}

/**
 * Makes an empty store. A directory in which an earlier call was cut short is taken over.
 * @throws KmsError `store-exists`, `store-locked`, `store-permissions`, `disk-full`, `store-io`
 */
export async function createRecordStore(options: RecordStoreOptions): Promise<OpenRecordStore> {
  const fileSystem = options.fileSystem ?? nodeFileSystem
  await fileSystem.makeDirectory(options.directory)
  await requirePrivate(fileSystem, options.directory, 'directory')
  const lock = acquireLock(join(options.directory, LOCK_FILE))
  try {
    if ((await fileSystem.inspect(join(options.directory, KEYRING_FILE))) !== undefined)
      throw storeError('store-exists', 'this directory holds a store already', {
        data: { directory: options.directory },
      })
    const keyring = new Map()
    const { sealer, rng, directory, clock = systemClock } = options
    await prepareCounter({ counter: sealer.counter, fileSystem, directory })
    const counter = sealer.counter && countCommits(sealer.counter, await sealer.counter.read(), clock)
    const storeId = rng.bytes(STORE_ID_BYTES)
    const store = new SealedRecordStore(options, { fileSystem, lock, storeId, keyring, counter })
    await store.begin(true)
    return store
  } catch (error) {
    lock.release()
    throw error
  }
}

/**
 * Opens a store and removes what a crash left behind: every file the keyring does not name. Where commits are counted, every opening
 * counts twice, before anything is read or written.
 * @throws KmsError `store-missing`, `store-locked`, `store-permissions`, `store-corrupt`, `sealer-mismatch`, `unseal-failed`,
 * `rollback-detected`, `store-io`
 */
export async function openRecordStore(options: RecordStoreOptions): Promise<OpenRecordStore> {
  const fileSystem = options.fileSystem ?? nodeFileSystem
  const { directory, sealer, clock = systemClock } = options
  const path = join(directory, KEYRING_FILE)
  if ((await fileSystem.inspect(path)) === undefined)
    throw storeError('store-missing', 'this directory holds no store: run init first', { data: { directory } })
  await requirePrivate(fileSystem, directory, 'directory')
  const lock = acquireLock(join(directory, LOCK_FILE))
  try {
    await requirePrivate(fileSystem, path, 'file')
    const { storeId, count, sealed } = parseKeyringFile(await fileSystem.read(path, MAX_KEYRING_FILE_BYTES))
    const keyring = takeKeyring(await sealer.unseal(sealed, keyringAad(storeId, count)))
    const counter = await openCommits(sealer.counter, count, clock)
    const store = new SealedRecordStore(options, { fileSystem, lock, storeId, keyring, counter })
    await store.begin(false)
    return store
  } catch (error) {
    lock.release()
    throw error
  }
}

interface OpenState {
  readonly fileSystem: FileSystem
  readonly lock: StoreLock
  readonly storeId: Uint8Array
  readonly keyring: Keyring
  readonly counter: CommitCounter | undefined
}

/**
 * `put` writes the new version's file, then swaps the keyring: the swap is the one commit point. The old version's data key is gone
 * with it, so its file, removed last, is already unreadable (protocol 8, Deletion).
 */
class SealedRecordStore implements OpenRecordStore {
  readonly storeId: Uint8Array
  readonly #options: RecordStoreOptions
  readonly #fileSystem: FileSystem
  readonly #lock: StoreLock
  readonly #counter: CommitCounter | undefined
  #keyring: Keyring
  #queue: Promise<unknown> = Promise.resolve()
  #state: 'open' | 'failed' | 'closed' = 'open'
  /** Unreadable files whose removal failed; tried again with the next commit and at open. */
  readonly #leftovers = new Set<string>()

  constructor(options: RecordStoreOptions, state: OpenState) {
    this.#options = options
    this.#fileSystem = state.fileSystem
    this.#lock = state.lock
    this.#counter = state.counter
    this.storeId = state.storeId
    this.#keyring = state.keyring
  }

  /** Removes what a crash left behind, and outruns what could be opened instead of this. @param isNew it has no keyring yet */
  async begin(isNew: boolean): Promise<void> {
    try {
      await this.#serialised(async () => {
        if (isNew) return this.#write(this.#keyring)
        await removeOrphans(this.#fileSystem, this.#options.directory, this.#keyring)
        await this.#outrun()
      })
    } catch (error) {
      await this.close()
      throw error
    }
  }

  put(kind: RecordKind, id: string, plaintext: Secret): Promise<void> {
    return this.#serialised(async () => {
      const idBytes = utf8ToBytes(id).length
      if (idBytes === 0 || idBytes > MAX_RECORD_ID_BYTES || plaintext.length > MAX_RECORD_BYTES)
        throw storeError('record-too-large', 'a record has an id of 1..256 bytes and at most 64 MiB', {
          data: { kind },
        })
      const entry = await this.#writeVersion(kind, id, plaintext)
      const name = recordName(kind, id)
      const old = this.#keyring.get(name)
      try {
        await this.#commit(new Map(this.#keyring).set(name, entry), kind)
      } catch (error) {
        entry.dek.destroy()
        this.#leftovers.add(`${entry.file}.record`)
        throw error
      }
      await this.#forget(old)
    })
  }

  get(kind: RecordKind, id: string): Promise<Secret | undefined> {
    return this.#serialised(async () => {
      const entry = this.#keyring.get(recordName(kind, id))
      if (entry === undefined) return undefined
      if ((await this.#fileSystem.inspect(this.#path(entry))) === undefined)
        throw storeError('store-corrupt', 'the file of a record is missing', { data: { kind, id } })
      const sealed = await this.#fileSystem.read(this.#path(entry), MAX_RECORD_BYTES + NONCE_BYTES + TAG_BYTES)
      const plaintext = openAead({ key: entry.dek, aad: recordAad(this.storeId, kind, id) }, sealed)
      if (plaintext === undefined)
        throw storeError('store-corrupt', 'a record does not open under its key', { data: { kind, id } })
      return plaintext
    })
  }

  erase(kind: RecordKind, id: string): Promise<void> {
    return this.#serialised(async () => {
      const name = recordName(kind, id)
      const old = this.#keyring.get(name)
      if (old === undefined) return
      const next = new Map(this.#keyring)
      next.delete(name)
      await this.#commit(next, kind)
      await this.#forget(old)
    })
  }

  list(kind: RecordKind): Promise<readonly string[]> {
    return this.#serialised(async () =>
      [...this.#keyring.values()].flatMap((entry) => (entry.kind === kind ? [entry.id] : [])).toSorted(),
    )
  }

  renew(): Promise<void> {
    return this.#serialised(() => this.#commit(this.#keyring, 'renewal'))
  }

  async close(): Promise<void> {
    await this.#queue.catch(() => undefined)
    if (this.#state === 'closed') return
    this.#state = 'closed'
    for (const entry of this.#keyring.values()) entry.dek.destroy()
    this.#lock.release()
  }

  #serialised<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(() => {
      if (this.#state === 'closed') throw storeError('store-closed', 'the store was closed')
      if (this.#state === 'failed')
        throw storeError('store-failed', 'an earlier write ended in an unknown state: restart the node')
      return run()
    })
    // The next operation starts whatever became of this one; its own caller sees its error.
    this.#queue = result.catch(() => undefined)
    return result
  }

  #path(entry: KeyringEntry): string {
    return join(this.#options.directory, `${entry.file}.record`)
  }

  async #writeVersion(kind: RecordKind, id: string, plaintext: Secret): Promise<KeyringEntry> {
    const { rng, directory } = this.#options
    const entry = { kind, id, file: bytesToHex(rng.bytes(16)), dek: new Secret(rng.bytes(KEY_BYTES)) }
    const aad = recordAad(this.storeId, kind, id)
    const sealed = sealAead({ key: entry.dek, nonce: rng.bytes(NONCE_BYTES), aad }, plaintext)
    const temporary = `${entry.file}.tmp`
    try {
      await this.#fileSystem.writeNew(join(directory, temporary), sealed)
      await this.#fileSystem.rename(join(directory, temporary), this.#path(entry))
      await this.#fileSystem.syncDirectory(directory)
      return entry
    } catch (error) {
      entry.dek.destroy()
      this.#leftovers.add(temporary).add(`${entry.file}.record`)
      throw error
    }
  }

  async #commit(next: Keyring, reason: CommitReason): Promise<void> {
    await this.#outrun()
    await this.#write(next, reason)
    this.#keyring = next
  }

  /** Leaves every other keyring behind that would open. */
  async #outrun(): Promise<void> {
    while (this.#counter?.hasRivals === true) await this.#write(this.#keyring, 'renewal')
  }

  async #write(next: Keyring, reason?: CommitReason): Promise<void> {
    const { sealer, rng, directory } = this.#options
    const count = this.#counter?.next(reason)
    const plaintext = encodeKeyring(next)
    const temporary = `keyring-${bytesToHex(rng.bytes(8))}.tmp`
    try {
      const sealed = await sealer.seal(plaintext, keyringAad(this.storeId, count))
      const file = encodeKeyringFile({ storeId: this.storeId, count, sealed })
      await this.#fileSystem.writeNew(join(directory, temporary), file)
    } catch (error) {
      this.#leftovers.add(temporary)
      this.#counter?.giveUp()
      throw error
    } finally {
      plaintext.destroy()
    }
    try {
      await this.#fileSystem.rename(join(directory, temporary), join(directory, KEYRING_FILE))
      await this.#fileSystem.syncDirectory(directory)
      await this.#counter?.settle()
    } catch (error) {
      this.#state = 'failed'
      throw error
    }
  }

  async #forget(old: KeyringEntry | undefined): Promise<void> {
    if (old !== undefined) {
      old.dek.destroy()
      this.#leftovers.add(`${old.file}.record`)
    }
    for (const name of this.#leftovers) {
      try {
        const path = join(this.#options.directory, name)
        if ((await this.#fileSystem.inspect(path)) !== undefined) await this.#fileSystem.unlink(path)
        this.#leftovers.delete(name)
      } catch {
        // Nothing secret is left in it: its data key is erased. It stays on the list.
      }
    }
  }
}
