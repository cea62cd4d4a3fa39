import {
  attempt,
  type CeremonyInput,
  type CeremonySpec,
  ceremonyId,
  type Curve,
  dealerConfig,
  decodeCertificate,
  memberAt,
  type MemberSignature,
  type ParticipantIndex,
  slotEntry,
  type SlotState,
  superseded,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { Order } from './driver.ts'
import type { RoutedFrame } from './waiting-room.ts'

type DeliveredFrame = Exclude<RoutedFrame, { type: 'authorization' }>

/** A frame as the engine takes it. */
export function toInput(from: ParticipantIndex, frame: DeliveredFrame): CeremonyInput {
  switch (frame.type) {
    case 'message':
      return { type: 'message', signed: frame.signed }
    case 'certificate':
      return { type: 'certificate', certificate: frame.certificate }
    case 'fetch':
      return { type: 'fetch', from, sid: frame.sid, dealer: frame.dealer, dealHash: frame.dealHash }
    case 'statusRequest':
      return { type: 'status-request', from }
    case 'status':
      return { type: 'status', from, messages: frame.messages, ...(frame.cert1 && { cert1: frame.cert1 }) }
  }
}

/** For the log: codes and public data only. */
export const errorFields = (cause: unknown): Readonly<Record<string, unknown>> =>
  isKmsError(cause) ? { code: cause.code, data: cause.data } : { code: 'unexpected', error: String(cause) }

/** Times for the log, in whole milliseconds. */
export const rounded = (times: object): Record<string, number> =>
  Object.fromEntries(Object.entries(times).map(([name, value]: [string, number]) => [name, Math.round(value)]))

/** The AUTH signatures that a certificate carries, unverified; none where it does not decode. */
export const authorizationsIn = (curve: Curve, certificate: Uint8Array): readonly MemberSignature[] =>
  attempt(() => decodeCertificate(curve, certificate))?.authorizations ?? []

/** The members of both committees, without this node. */
export const peersOf = (spec: CeremonySpec, self: ParticipantIndex): readonly ParticipantIndex[] =>
  [...new Set([...dealerConfig(spec).members, ...spec.newConfig.members].map(({ index }) => index))].filter(
    (index) => index !== self,
  )

/**
 * What the engine of X is told before anything else, by what this node promised in the slot: an engine that was halted forgot what it
 * was ordered, the slot did not. Who gave X up for a higher attempt may abandon it too; only a new member can.
 */
export function ordersOf(state: SlotState, spec: CeremonySpec, self: ParticipantIndex): readonly Order['type'][] {
  const isNew = memberAt(spec.newConfig, self) !== undefined
  const isAbandoned = isNew && slotEntry(state, ceremonyId(spec))?.abandoned === true
  return [...(superseded(state, spec) ? ['supersede' as const] : []), ...(isAbandoned ? ['abandon' as const] : [])]
}
