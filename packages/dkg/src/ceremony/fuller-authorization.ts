import { equalBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import type { VerifyMessage } from '../primitives/ed25519.ts'
import { type CheckedKey, checkSignatures, readFacts, type UnsignedFacts } from './check-certificate.ts'
import { quorum } from './config.ts'

/**
 * A certificate that takes the place of `known`: of the same sharing, its AUTH full where that of `known` is degraded. What else
 * differs between two certificates of one sharing, means nothing (protocol 6).
 * @returns undefined for any other
 * @throws KmsError `bad-certificate` where `bytes` claims to be one, and does not hold
 */
export function fullerCertificate(
  curve: Curve,
  verify: VerifyMessage,
  known: Uint8Array,
  bytes: Uint8Array,
): CheckedKey | undefined {
  const [before, after] = [readFacts(curve, known), readFacts(curve, bytes)]
  const same = equalBytes(before.key.sharingId, after.key.sharingId)
  return same && !namesQuorum(before) && namesQuorum(after) ? checkSignatures(verify, after) : undefined
}

/** Enough AUTH signatures for a full one, unverified; a key generation needs none. */
export const namesQuorum = ({ certificate: { spec, authorizations } }: UnsignedFacts): boolean =>
  spec.kind === 'keygen' || authorizations.length >= quorum(spec.oldConfig)
