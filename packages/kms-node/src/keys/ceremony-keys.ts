import type { SharingId } from '@tkms/dkg'
import type { CeremonyKeys } from '../ceremony/ports.ts'
import type { KeyKeeper } from './keeper-types.ts'

/** The keys of this node as its ceremonies see them. */
export const ceremonyKeys = (keeper: KeyKeeper): CeremonyKeys => ({
  list: () =>
    keeper
      .list()
      .filter(({ destroyedAtMs }) => destroyedAtMs === undefined)
      .flatMap(({ sharings }) => sharings.slice(0, 1).map(({ sharing }) => sharing)),
  find: (sharingId) => keeper.find(sharingId as SharingId),
  copyShare: (sharingId) => keeper.copyShare(sharingId),
  install: (certificate, share, word) => keeper.install(certificate, share, word),
  learn: async (certificate) => (await keeper.learn([certificate])).keys.at(-1),
})
