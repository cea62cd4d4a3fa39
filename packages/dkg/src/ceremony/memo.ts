import type { Curve } from '../primitives/curve.ts'
import type { Parties } from './parties.ts'
import type { SignedMessage } from './signed-message.ts'

/**
 * A pure reading of a message within a ceremony, done once per message: what a step needs of a JOIN or PROPOSE it has seen before is not
 * decoded and verified again. Forgotten with the message.
 */
export function readOnce<Ports, T>(
  read: (ports: Ports, parties: Parties, message: SignedMessage) => T,
): (ports: Ports, parties: Parties, message: SignedMessage) => T {
  const known = new WeakMap<Parties, WeakMap<SignedMessage, { readonly value: T }>>()
  return (ports, parties, message) => {
    const ofCeremony = known.get(parties) ?? new WeakMap<SignedMessage, { readonly value: T }>()
    known.set(parties, ofCeremony)
    const before = ofCeremony.get(message)
    if (before !== undefined) return before.value
    const value = read(ports, parties, message)
    ofCeremony.set(message, { value })
    return value
  }
}

/** A public value that follows from an object alone, computed once for each and forgotten with it. */
export function onceFor<Key extends object, T>(compute: (key: Key) => T): (key: Key) => T {
  const known = new WeakMap<Key, { readonly value: T }>()
  return (key) => {
    const before = known.get(key)
    if (before !== undefined) return before.value
    const value = compute(key)
    known.set(key, { value })
    return value
  }
}

/** The same for what a curve makes of an object: the public points of secrets that every message asks about. */
export function onceOnCurve<Key extends object, T>(
  compute: (curve: Curve, key: Key) => T,
): (curve: Curve, key: Key) => T {
  const onCurve = onceFor((curve: Curve) => onceFor((key: Key) => compute(curve, key)))
  return (curve, key) => onCurve(curve)(key)
}
