import {
  bytesKey,
  type CeremonySpec,
  ceremonyId,
  type CommitteeConfig,
  dealerConfig,
  encodeSpec,
  equalBytes,
  memberAt,
  type ParticipantIndex,
  slotEntry,
  type SlotState,
} from '@tkms/dkg'
import type { CeremonyFrame, PromisedSpec } from '../net/ceremony-frame.ts'
import { MAX_PROMISED_ORDERS, MAX_PROMISED_SPECS } from '../net/frame-caps.ts'
import type { CeremonyKeys } from './ports.ts'

/** X that one member tells another one of at once; what it agreed to itself goes first, then what may be begun the longest. */
export const MAX_PROMISES = 256

export interface PromiseSources {
  /** Every X that this node agreed to, gave up, or was proposed. */
  readonly specs: readonly CeremonySpec[]
  readonly slot: (spec: CeremonySpec) => SlotState
  /** The verified AUTH of this member over X, if it is here, 64 bytes. */
  readonly authorizationOf: (spec: CeremonySpec, of: ParticipantIndex) => Uint8Array | undefined
  readonly keys: Pick<CeremonyKeys, 'list'>
}

/** Every X of which the asker is a member, that it authorized or that this node agreed to, and that no certificate known here decides. */
export function promisedSpecs(asker: ParticipantIndex, sources: PromiseSources): readonly PromisedSpec[] {
  const { specs, slot, authorizationOf, keys } = sources
  const isDecided = (spec: CeremonySpec): boolean =>
    slotEntry(slot(spec), ceremonyId(spec))?.certified !== undefined ||
    (spec.kind === 'reshare' &&
      keys.list().some(({ key }) => equalBytes(key.keyId, spec.keyId) && key.epoch >= spec.epoch))
  const agreedTo = (spec: CeremonySpec): boolean =>
    (slotEntry(slot(spec), ceremonyId(spec))?.approval ?? 'none') !== 'none'
  const once = [...new Map(specs.map((spec) => [bytesKey(ceremonyId(spec)), spec])).values()]
  return once
    .filter((spec) => isMemberOf(spec, asker) && !isDecided(spec))
    .toSorted((left, right) => Number(agreedTo(right)) - Number(agreedTo(left)) || right.notAfter - left.notAfter)
    .flatMap((spec): readonly PromisedSpec[] => {
      const authorization = authorizationOf(spec, asker)
      if (authorization !== undefined) return [{ spec: encodeSpec(spec), authorization }]
      return agreedTo(spec) ? [{ spec: encodeSpec(spec) }] : []
    })
}

export const isMemberOf = (spec: CeremonySpec, index: ParticipantIndex): boolean =>
  [spec.newConfig, dealerConfig(spec)].some((committee) => memberAt(committee, index) !== undefined)

/**
 * Who must have told this node what it promised before it signs in X. Where its operator agreed to an AUTH below a quorum, the old
 * committee cannot answer any more: then uniqueness rests on people's word (protocol 6).
 */
export function committeesToHear(spec: CeremonySpec, slot: SlotState): readonly CommitteeConfig[] {
  const degraded = slotEntry(slot, ceremonyId(spec))?.approval === 'degraded'
  return degraded ? [spec.newConfig] : [spec.newConfig, dealerConfig(spec)]
}

/** As few frames as hold it, the last one marked, unless X beyond MAX_PROMISES are left out. */
export function promiseFrames(all: readonly PromisedSpec[], orders: readonly Uint8Array[]): readonly CeremonyFrame[] {
  const specs = all.slice(0, MAX_PROMISES)
  const pages = Math.max(
    1,
    Math.ceil(specs.length / MAX_PROMISED_SPECS),
    Math.ceil(orders.length / MAX_PROMISED_ORDERS),
  )
  return Array.from({ length: pages }, (_, page) => ({
    type: 'promises',
    specs: specs.slice(page * MAX_PROMISED_SPECS, (page + 1) * MAX_PROMISED_SPECS),
    orders: orders.slice(page * MAX_PROMISED_ORDERS, (page + 1) * MAX_PROMISED_ORDERS),
    last: page === pages - 1 && all.length <= MAX_PROMISES,
  }))
}
