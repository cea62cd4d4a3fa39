import { memberAt } from '@tkms/dkg'
import type { CeremonyNetwork } from '../net/ceremony-protocol.ts'
import { adviseOn } from './advice.ts'
import type { CeremonyKeys } from './ports.ts'
import type { CeremonyStatus } from './status.ts'

export interface AdviserParams {
  readonly self: number
  readonly nowS: () => number
  readonly network: Pick<CeremonyNetwork, 'connected'>
  readonly keys: Pick<CeremonyKeys, 'list'>
  readonly dataDir: string
}

/** Adds what the operator of this node can do to the status of a ceremony, from what the node knows now. */
export function adviserHere({ self, nowS, network, keys, dataDir }: AdviserParams) {
  const connected = (index: number): boolean => index === self || network.connected.some((peer) => peer === index)
  const lacksShare = ({ keyName, generation }: CeremonyStatus): boolean =>
    keys.list().some(({ key, hasShare }) => {
      const isOfIt = key.keyName === keyName && key.generation === generation
      return isOfIt && !hasShare && memberAt(key.config, self) !== undefined
    })
  return (status: CeremonyStatus): CeremonyStatus => {
    const advice = adviseOn(status, { self, nowS: nowS(), connected, dataDir, lacksShare: lacksShare(status) })
    return advice === undefined ? status : { ...status, advice }
  }
}
