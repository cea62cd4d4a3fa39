import type { ClusterKeeper } from '../cluster/cluster-keeper.ts'
import type { NodeStanding } from '../open-peer-attestation.ts'
import { ceremonyKeys, livingCommittees } from './ceremony-keys.ts'
import type { KeyKeeper } from './keeper-types.ts'

/** What proofs of this node bind, and whose expired proofs may be missed: the committees that live, or the first one. */
export const nodeStanding = (keeper: KeyKeeper, clusterKeeper: Pick<ClusterKeeper, 'current'>): NodeStanding => ({
  certificates: () =>
    ceremonyKeys(keeper)
      .list()
      .map(({ key: { keyId, certificate } }) => ({ keyId, certificate })),
  committees: () => {
    const living = livingCommittees(keeper)
    return living.length > 0 ? living : [clusterKeeper.current().config]
  },
})
