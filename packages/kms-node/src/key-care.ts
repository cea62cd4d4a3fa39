import { join } from 'node:path'
import { type CommitteeConfig, type Curve, type ParticipantIndex, type Secret, type SignMessage } from '@tkms/dkg'
import type { CeremonyLog } from './ceremony/ports.ts'
import type { CeremonyService } from './ceremony/service.ts'
import type { ClusterKeeper } from './cluster/cluster-keeper.ts'
import type { NodeConfig } from './config/types.ts'
import { createDestroyService, type DestroyService } from './destroy/service.ts'
import type { Keys } from './keys/open-keys.ts'
import type { CeremonyListener, CeremonyNetwork } from './net/ceremony-protocol.ts'
import type { Clock, RecordStore, Rng } from './ports.ts'
import { createRepairService, type RepairService } from './repair/service.ts'

export interface KeyCareParams {
  readonly config: Pick<NodeConfig, 'dataDir' | 'ceremony'>
  readonly self: ParticipantIndex
  readonly curve: Curve
  readonly sign: SignMessage
  readonly keys: Keys
  readonly store: RecordStore
  readonly network: CeremonyNetwork
  readonly clusterKeeper: ClusterKeeper
  readonly ceremonies: () => CeremonyService
  /** Whose word this node waits for after a restore, before it signs as a member of these committees. */
  readonly awaited: (committees: readonly CommitteeConfig[]) => readonly ParticipantIndex[]
  readonly clock: Clock
  readonly rng: Rng
  /** Borrowed. */
  readonly nodeSeed: Secret
  readonly log: CeremonyLog
}

/** What a node does for its keys between ceremonies: lost shares are repaired, keys that nobody needs any more are destroyed. */
export interface KeyCare {
  readonly repairs: RepairService
  readonly destroys: DestroyService
  /** Resumes what was under way; call behind the ceremonies' start, before the network's. */
  start(): Promise<void>
  stop(): Promise<void>
  /** Frames about repairs and destruction are heard here, everything else by `next`; connections and ERASED by both. */
  listen(next: CeremonyListener): CeremonyListener
}

export function createKeyCare(params: KeyCareParams): KeyCare {
  const { config, self, sign, store, network, clock, log, keys } = params
  const { keeper } = keys
  const timings = config.ceremony
  const nameOf = (index: number): string =>
    params.clusterKeeper.nodes().find((node) => node.index === index)?.name ?? `node ${index}`

  const awaited = (committee: CommitteeConfig): readonly ParticipantIndex[] => params.awaited([committee])
  const repairs = createRepairService({
    ...params,
    awaited,
    timings,
    evidenceDirectory: join(config.dataDir, 'evidence'),
    dataDir: config.dataDir,
    nameOf,
    keys: {
      list: () =>
        keeper
          .list()
          .filter(({ destroyedAtMs }) => destroyedAtMs === undefined)
          .flatMap(({ sharings }) => sharings.slice(0, 1).map(({ sharing }) => sharing)),
      copyShare: (sharingId) => keeper.copyShare(sharingId),
      repaired: (sharingId, share) => keeper.repaired(sharingId, share),
    },
  })
  const destroys = createDestroyService({
    self,
    sign,
    store,
    network,
    clock,
    timings,
    log,
    nameOf,
    keys: {
      list: () =>
        keeper
          .list()
          .map(({ sharings, ...life }) => ({ ...life, sharings: sharings.map(({ sharing }) => sharing.key) })),
      destroyKey: (keyId, order) => keeper.destroyKey(keyId, order),
    },
    ceremonies: {
      awaited,
      undecidedOf: (keyId) => params.ceremonies().undecidedOf(keyId),
      forgetKey: (keyId) => params.ceremonies().forgetKey(keyId),
    },
  })
  keys.subscribe({
    onChanged: () => {
      repairs.onKeysChanged()
      destroys.onKeysChanged()
    },
  })
  return {
    repairs,
    destroys,
    start: async () => {
      await destroys.start()
      await repairs.start()
    },
    stop: async () => {
      await Promise.all([repairs.stop(), destroys.stop()])
    },
    listen: (next) => ({
      onFrame: (from, frame) => {
        if (frame.type === 'repair') return repairs.onFrame(from, frame.message)
        if (frame.type === 'destroy') return destroys.onFrame(from, frame.message)
        if (frame.type === 'erased') destroys.onErased(frame.message)
        next.onFrame(from, frame)
      },
      onPeerConnected: (peer) => {
        next.onPeerConnected(peer)
        repairs.onPeerConnected(peer)
        destroys.onPeerConnected(peer)
      },
    }),
  }
}
