import { type CeremonySpec, equalBytes, slotId } from '@tkms/dkg'
import type { KnownKey } from './ports.ts'

/** A lower attempt of the same slot. */
export const isBelow = (spec: CeremonySpec, higher: CeremonySpec): boolean =>
  spec.attempt < higher.attempt && equalBytes(slotId(spec), slotId(higher))

/** X gives this key new shares. */
export const isOf = (spec: CeremonySpec, keyId: Uint8Array): boolean => 'keyId' in spec && equalBytes(spec.keyId, keyId)

/** Of the same epoch a higher attempt, or a later epoch. */
export const isAfter = (key: KnownKey['key'], spec: CeremonySpec): boolean =>
  key.epoch > spec.epoch || (key.epoch === spec.epoch && key.attempt >= spec.attempt)
