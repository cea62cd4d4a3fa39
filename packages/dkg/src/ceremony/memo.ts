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
