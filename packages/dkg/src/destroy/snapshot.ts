import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { attempt, decodeAll, list, u8, varBytes } from '../primitives/codec.ts'
import {
  decodeDestroyMessage,
  decodeErased,
  type DestroyMessage,
  encodeDestroyMessage,
  encodeErased,
  MAX_DESTROY_MESSAGE_BYTES,
} from './messages.ts'
import type { DestroyCollectorState, DestroyPhase } from './types.ts'

/**
 * A collector as public bytes: u8 1 || u8 phase || var order || list(var receipt) || list(var ERASED). Whoever reads it believes none of
 * it for being there: signatures are verified again, and the phase is what they support.
 */
export interface DestroySnapshot {
  readonly phase: DestroyPhase
  /** With the signatures so far, also below Q. */
  readonly order: DestroyMessage & { readonly kind: 'order' }
  /** `receipt` messages. */
  readonly receipts: readonly Uint8Array[]
  /** ERASED, 134 bytes each. */
  readonly erased: readonly Uint8Array[]
}

const VERSION = 1
const PHASES: readonly DestroyPhase[] = ['collecting', 'erasing', 'erased', 'gone']

/** @param order the `order` message with the signatures so far */
export function encodeDestroySnapshot(
  { phase, receipts, erased, claims }: DestroyCollectorState,
  order: Uint8Array,
): Uint8Array {
  const statements = [...erased.values()].map(({ statement, signature }) => encodeErased(statement, signature))
  const claimed = [...claims.values()].map(({ message }) => message)
  const isErased = (message: Uint8Array): boolean => attempt(() => decodeErased(message)) !== undefined
  return concatBytes(
    u8(VERSION),
    u8(PHASES.indexOf(phase)),
    varBytes(order),
    list(
      [...[...receipts.values()].map(encodeDestroyMessage), ...claimed.filter((message) => !isErased(message))],
      varBytes,
    ),
    list([...statements, ...claimed.filter(isErased)], varBytes),
  )
}

/** @throws KmsError `bad-encoding`, `bad-index`, `too-large` */
export const decodeDestroySnapshot = (snapshot: Uint8Array): DestroySnapshot =>
  decodeAll(snapshot, 'snapshot', (reader) => {
    const version = reader.u8('version')
    const phase = PHASES[reader.u8('phase')]
    const order = decodeDestroyMessage(reader.var(MAX_DESTROY_MESSAGE_BYTES, 'order'))
    if (version !== VERSION || phase === undefined || order.kind !== 'order')
      throw dkgError('bad-encoding', 'not a snapshot of an order to destroy')
    const read = (field: string): readonly Uint8Array[] =>
      reader.list({ min: 0, max: 0xffff }, field, (item) => item.var(MAX_DESTROY_MESSAGE_BYTES, field))
    return { phase, order, receipts: read('receipts'), erased: read('erased') }
  })
