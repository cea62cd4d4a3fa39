import { encodeDestroyMessage, orderOf } from './messages.ts'
import type { DestroyCollectorState } from './types.ts'

/** The order with every signature that is here, ascending by index. */
export function orderMessage({ params, signatures }: DestroyCollectorState): Uint8Array {
  const ascending = [...signatures.values()].toSorted((left, right) => left.index - right.index)
  return encodeDestroyMessage({ kind: 'order', order: orderOf(params.current), signatures: ascending })
}

/** What a node has to say: its own signature until the order is complete; then the order and its receipt. */
export function messagesToSay(state: DestroyCollectorState): readonly Uint8Array[] {
  const { params, signatures, receipts, phase } = state
  const own = signatures.get(params.self)
  const receipt = receipts.get(params.self)
  const collected = own && encodeDestroyMessage({ kind: 'signature', order: orderOf(params.current), signature: own })
  const word = phase === 'collecting' ? collected : orderMessage(state)
  return [...(word === undefined ? [] : [word]), ...(receipt === undefined ? [] : [encodeDestroyMessage(receipt)])]
}
