import type { CommitteeConfig, SharingId } from '@tkms/dkg'
import type { CeremonyKeys } from '../ceremony/ports.ts'
import type { KeyKeeper } from './keeper-types.ts'

/** The keys of this node as its ceremonies see them. */
export const ceremonyKeys = (keeper: KeyKeeper): CeremonyKeys => ({
  list: () =>
    keeper
      .list()
      .filter(({ destroyedAtMs }) => destroyedAtMs === undefined)
      .flatMap(({ sharings }) => sharings.slice(0, 1).map(({ sharing }) => sharing)),
  history: () => keeper.list().flatMap(({ sharings }) => sharings.map(({ sharing }) => sharing.key)),
  find: (sharingId) => keeper.find(sharingId as SharingId),
  copyShare: (sharingId) => keeper.copyShare(sharingId),
  install: (certificate, share, word) => keeper.install(certificate, share, word),
  learn: async (certificate) => (await keeper.learn([certificate])).keys.at(-1),
})

/** The committees of the newest sharing of every key, and of every sharing that this node still answers under. */
export const livingCommittees = (keeper: KeyKeeper): readonly CommitteeConfig[] =>
  keeper
    .list()
    .filter(({ destroyedAtMs }) => destroyedAtMs === undefined)
    .flatMap(({ sharings }) => sharings.filter(({ servable }, at) => at === 0 || servable))
    .map(({ sharing }) => sharing.key.config)
