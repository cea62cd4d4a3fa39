import { type CeremonySpec, type CommitteeConfig, configHash, equalBytes } from '@tkms/dkg'
import type { CeremonyKeys } from './ports.ts'

/** `early`: it may be true, and is believed once the certificates before it are known here. */
export type Plausibility = 'plausible' | 'early' | 'foreign'

/**
 * Whether an X that another member tells of could have been agreed to here. Nobody signed it: what is kept of it must not close names or
 * epochs to come. A new key is made by the committee that the cluster began with or one that holds or held a key; a resharing of a key known
 * here is of the epoch after the newest at most, so that the next certificate decides it.
 */
export function plausibilityOf(
  spec: CeremonySpec,
  genesis: CommitteeConfig,
  keys: Pick<CeremonyKeys, 'list' | 'history'>,
): Plausibility {
  const history = keys.history?.() ?? keys.list().map(({ key }) => key)
  if (spec.kind === 'reshare') {
    const epochs = history.filter(({ keyId }) => equalBytes(keyId, spec.keyId)).map(({ epoch }) => epoch)
    if (epochs.length > 0) return spec.epoch <= Math.max(...epochs) + 1 ? 'plausible' : 'early'
  }
  const hash = configHash(spec.kind === 'reshare' ? spec.oldConfig : spec.newConfig)
  const isKnown = [genesis, ...history.map(({ config }) => config)].some((config) =>
    equalBytes(configHash(config), hash),
  )
  return isKnown ? 'plausible' : 'foreign'
}
