import {
  bytesKey,
  type CeremonyEffect,
  type CeremonyInput,
  type CeremonyParams,
  type CeremonyState,
  type CeremonyEngine,
  Secret,
  type SharingId,
  type Step,
} from '@tkms/dkg'
import { decodeSnapshot } from '../../packages/dkg/src/ceremony/snapshot.ts'
import { Secret as SourceSecret } from '../../packages/dkg/src/primitives/secret.ts'
import { loadArchive, saveArchive } from '../../packages/kms-node/src/ceremony/archive.ts'
import { createKeyKeeper } from '../../packages/kms-node/src/keys/key-keeper.ts'
import type { KeyKeeper } from '../../packages/kms-node/src/keys/keeper-types.ts'
import { openOdometer } from '../../packages/kms-node/src/keys/odometer.ts'
import { createShareStore } from '../../packages/kms-node/src/keys/share-store.ts'
import type { KeyHead } from '../../packages/kms-node/src/net/ceremony-frame.ts'
import type { Clock, Rng, Sealer } from '../../packages/kms-node/src/ports.ts'
import { createKeyTable } from '../../packages/kms-node/src/serve/key-table.ts'
import { createMemoryDisk, type MemoryDisk } from '../../packages/kms-node/src/store/memory-disk.fixture.ts'
import {
  createRecordStore,
  openRecordStore,
  type OpenRecordStore,
} from '../../packages/kms-node/src/store/record-store.ts'

/** A node as it runs: the engine, the sealed record store and the key keeper of production, on a disk that can lose its power. */

export const GRACE_MS = 600_000

/** What a swept node needs of the world around it. */
export interface SweepPorts {
  readonly params: CeremonyParams
  readonly engine: CeremonyEngine<CeremonyState>
  readonly curve: Parameters<typeof createKeyTable>[0]['curve']
  readonly verify: Parameters<typeof createKeyKeeper>[0]['verify']
  readonly identity: Parameters<typeof createKeyKeeper>[0]['self']
  readonly pinned: Uint8Array
  readonly ceremony: Parameters<typeof saveArchive>[1]
  /** Holds nothing but the lock file. */
  readonly directory: string
  readonly clock: Clock
  readonly rng: Rng
  /** The sharing before a RESHARE: everybody knows its certificate, as of the cluster file, and the old members have a share. */
  readonly before?: { readonly certificate: Uint8Array; readonly share: Uint8Array | undefined }
  readonly oldSharing?: SharingId
  readonly drawSeed: (use: string) => Secret
  readonly send: (effect: CeremonyEffect) => void
  readonly later: (ms: number, input: CeremonyInput) => void
}

/** Seals nothing: what lies on the disk is not the subject here, when it lies there is. */
const plainSealer: Sealer = {
  provider: 'none',
  seal: async (plaintext) => plaintext.use((bytes) => Uint8Array.from(bytes)),
  unseal: async (sealed) => Secret.copyOf(sealed),
}

export class SweptNode {
  readonly ports: SweepPorts
  readonly disk: MemoryDisk = createMemoryDisk()
  /** Every message of its own that left it, in all its lives. */
  readonly sent: Uint8Array[] = []
  isUp = false
  isDone = false
  life = 0
  #state: CeremonyState | undefined
  #store: OpenRecordStore | undefined
  #keeper: KeyKeeper | undefined

  constructor(ports: SweepPorts) {
    this.ports = ports
  }

  /** First start, or the start after the power was gone. Throws where it goes again. */
  async boot(): Promise<void> {
    const { directory, rng, ceremony, params, engine, before } = this.ports
    const options = { directory, sealer: plainSealer, rng, fileSystem: this.disk.fileSystem }
    this.life += 1
    this.isUp = true
    this.#store = await openRecordStore(options).catch(async (cause: { code?: string }) => {
      if (cause.code === 'store-missing') return createRecordStore(options)
      throw cause
    })
    await this.#startKeeper(this.#store)
    if (before !== undefined && this.life === 1) {
      const { certificate, share } = before
      if (share === undefined) await this.#keeper?.learn([certificate])
      else await this.#keeper?.install(certificate, Secret.copyOf(share), { approvedHere: true, mayErase: true })
    }
    if ((await loadArchive(this.#store, ceremony)) !== undefined) {
      await this.#store.erase('ceremony', bytesKey(ceremony))
      return this.#finish()
    }
    const snapshot = await this.#store.get('ceremony', bytesKey(ceremony))
    await this.#run(snapshot === undefined ? engine.open(params) : engine.resume(params, snapshot))
  }

  async #startKeeper(store: OpenRecordStore): Promise<void> {
    const { curve, verify, identity, pinned, clock } = this.ports
    const nothing = (): void => undefined
    this.#keeper = createKeyKeeper({
      curve,
      verify,
      self: identity,
      pinned,
      shares: createShareStore(store),
      table: createKeyTable({ curve, self: identity }),
      odometer: await openOdometer(store, clock),
      clock,
      times: { graceMs: GRACE_MS, maxRetiringMs: 144 * GRACE_MS },
      mayErase: async () => true,
      isUnderWay: async (ceremony) => (await store.list('ceremony')).includes(bytesKey(ceremony)),
      events: { onErased: nothing, onBehind: nothing, onError: nothing, onChanged: nothing },
    })
    await this.#keeper.start()
    this.#keeper.open()
  }

  async step(input: CeremonyInput): Promise<void> {
    if (this.#state !== undefined && !this.isDone) await this.#run(this.ports.engine.step(this.#state, input))
  }

  async #run({ state, effects }: Step<CeremonyState>): Promise<void> {
    this.#state = state
    for (const effect of effects) await this.#perform(effect)
  }

  /** As the driver of production: in order, each done before the next. */
  async #perform(effect: CeremonyEffect): Promise<void> {
    const { ceremony, later, send, drawSeed } = this.ports
    switch (effect.type) {
      case 'persist':
        return this.#store?.put('ceremony', bytesKey(ceremony), effect.snapshot)
      case 'need-seeds': {
        const { oldSharing } = this.ports
        const oldShare = effect.dealing && oldSharing && this.#keeper?.copyShare(oldSharing)
        return later(1, {
          type: 'seeds',
          view: effect.view,
          ...(effect.dealing && { dealing: drawSeed('dealing') }),
          ...(effect.receiver && { receiver: drawSeed('receiver') }),
          ...(oldShare && { oldShare }),
        })
      }
      case 'start-timer':
        return later(effect.ms, { type: 'timer', name: effect.name, view: effect.view })
      case 'complete':
        await this.#keeper?.install(effect.certificate, effect.share, { approvedHere: true, mayErase: true })
        return later(1, { type: 'stored' })
      case 'archive':
        if (this.#store !== undefined) await saveArchive(this.#store, ceremony, effect)
        await this.#store?.erase('ceremony', bytesKey(ceremony))
        return this.#finish()
      case 'ask-status':
      case 'fetch':
      case 'send':
      case 'send-certificate':
      case 'send-status':
        return send(effect)
      case 'abandon-refused':
      case 'abandoned':
      case 'fault':
      case 'progress':
      case 'rolled-back':
      case 'stop-timer':
      case 'view-failed':
        return
    }
  }

  /** The ceremony is over here; what its certificate replaces goes when the grace is over. */
  async #finish(): Promise<void> {
    this.isDone = true
    await this.#keeper?.eraseDue()
  }

  /** What it tells its peers of its keys. */
  heads(): KeyHead[] {
    return (this.#keeper?.list() ?? []).flatMap(({ keyId, sharings: [latest] }) => {
      if (latest === undefined) return []
      const { sharingId, epoch, attempt } = latest.sharing.key
      return [{ keyId, sharingId, epoch, attempt }]
    })
  }

  /** The grace is over, and every peer has told what it knows. */
  async retire(peers: readonly SweptNode[]): Promise<void> {
    for (const peer of peers) if (peer !== this && peer.isUp) this.#keeper?.heard(peer.ports.params.self, peer.heads())
    await this.#keeper?.eraseDue()
  }

  async archive(): Promise<Awaited<ReturnType<typeof loadArchive>>> {
    return this.#store && loadArchive(this.#store, this.ports.ceremony)
  }

  /** The power is gone, and what was not synced with it, or not. */
  async powerCut(survives: 'synced' | 'everything'): Promise<void> {
    this.isUp = false
    this.isDone = false
    this.#state = undefined
    // Whatever is still under way in this life reaches the disk no more.
    this.disk.failFrom(0)
    await this.#keeper?.stop().catch(() => undefined)
    await this.#store?.close().catch(() => undefined)
    this.disk.restart(survives)
  }

  /** The sharings under which this node could decrypt after a restart, by id: installed, PREPARED, or certified and not yet installed. */
  async holds(): Promise<ReadonlySet<string>> {
    const { ceremony, oldSharing } = this.ports
    const held = new Set<string>()
    const add = (id: SharingId | undefined): void => {
      const share = id && this.#keeper?.copyShare(id)
      if (id !== undefined && share !== undefined) held.add(bytesKey(id))
      share?.destroy()
    }
    add(oldSharing)
    for (const { sharings } of this.#keeper?.list() ?? [])
      for (const { sharing } of sharings) add(sharing.key.sharingId)
    const snapshot = await this.#store?.get('ceremony', bytesKey(ceremony))
    if (snapshot === undefined) return held
    const copy = snapshot.use((bytes) => SourceSecret.copyOf(bytes))
    for (const { outcome } of decodeSnapshot(ceremony, copy).prepared) held.add(bytesKey(outcome))
    return held
  }

  /** The sharing that this node holds a share of beside the old one. */
  newShare(sharingId: SharingId): Uint8Array | undefined {
    return this.#keeper?.copyShare(sharingId)?.use((bytes) => Uint8Array.from(bytes))
  }
}
