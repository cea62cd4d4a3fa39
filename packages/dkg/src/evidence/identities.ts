import { eachPinned, type Pins } from '../ceremony/certificate-chain.ts'
import { readFacts } from '../ceremony/check-certificate.ts'
import { followChains } from '../ceremony/follow-chains.ts'
import { type CommitteeConfig, configHash, type Member } from '../ceremony/config.ts'
import { attempt, bytesKey, equalBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { VerifyMessage } from '../primitives/ed25519.ts'

/** What evidence is verified from: a cluster file, or parts of one (protocol 7). */
export interface EvidencePins extends Pins {
  /** The certificates of a cluster file, not yet verified: they lead from the pinned committee to later ones. */
  readonly certificates?: readonly Uint8Array[]
  /** Identities the caller knows besides: the address book of a cluster file that it trusts. */
  readonly members?: readonly Member[]
}

const sameMember = (left: Member, right: Member): boolean =>
  left.index === right.index && equalBytes(left.publicKey, right.publicKey)

/**
 * Whether this identity at this index is one that the pins lead to: evidence names keys, and anybody can make keys.
 * @param offered committees and certificates that came with the evidence: they count only where the pins reach them
 */
export function isKnownIdentity(
  curve: Curve,
  verify: VerifyMessage,
  pins: EvidencePins,
  member: Member,
  offered: { readonly committees: readonly CommitteeConfig[]; readonly certificates: readonly Uint8Array[] },
): boolean {
  const isIn = (members: readonly Member[]): boolean => members.some((known) => sameMember(known, member))
  if (isIn(pins.members ?? [])) return true
  const mentioned = offered.committees.filter(({ members }) => isIn(members))
  const pinned = [pins.configHash, ...(pins.accepted ?? [])]
  if (mentioned.some((config) => pinned.some((hash) => equalBytes(hash, configHash(config))))) return true
  const own = pins.certificates ?? []
  return reachedCommittees(curve, verify, pins, [...own, ...offered.certificates], own).some(({ members }) =>
    isIn(members),
  )
}

/** Committees that the certificates lead to, each key by itself; what does not hold of `all` is tried without what was offered. */
function reachedCommittees(
  curve: Curve,
  verify: VerifyMessage,
  pins: Pins,
  all: readonly Uint8Array[],
  own: readonly Uint8Array[],
): CommitteeConfig[] {
  const keys = new Set(all.map((bytes) => keyOf(curve, bytes)))
  return [...keys].flatMap((key) => {
    const ofKey = (certificates: readonly Uint8Array[]) => certificates.filter((bytes) => keyOf(curve, bytes) === key)
    const follow = (pinned: Pins, certificates: readonly Uint8Array[]) =>
      attempt(() => followChains(curve, verify, pinned, ofKey(certificates)))
    const chains =
      key === undefined ? [] : eachPinned(pins).flatMap((pinned) => follow(pinned, all) ?? follow(pinned, own) ?? [])
    return chains.flatMap(({ steps }) => steps.map(({ config }) => config))
  })
}

function keyOf(curve: Curve, bytes: Uint8Array): string | undefined {
  const keyId = attempt(() => readFacts(curve, bytes).key.keyId)
  return keyId && bytesKey(keyId)
}
