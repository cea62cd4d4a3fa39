import { type SignMessage, signTagged, type VerifyMessage, verifyTagged } from '../primitives/ed25519.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import type { MemberSignature } from './certificate.ts'
import { type CeremonySpec, encodeSpec, memberAt, quorum } from './config.ts'

/** AUTH: the old committee's word for the exact X that succeeds it (protocol 6). */

const TAG = 'authorize'

/** How much of the old committee stands behind X: full, at least Q_old; degraded, at least t_old (protocol 6); none, a KEYGEN. */
export type AuthorizationStrength = 'none' | 'full' | 'degraded'

/** One member's AUTH of X. The caller is a member of the old config and made the promise durable before (protocol 3, 5). */
export const signAuthorization = (sign: SignMessage, spec: CeremonySpec, self: ParticipantIndex): MemberSignature => ({
  index: self,
  signature: signTagged(sign, TAG, encodeSpec(spec)),
})

/** Whether a member of X's old config signed X. Nobody authorises a key generation. */
export function verifyAuthorization(verify: VerifyMessage, spec: CeremonySpec, entry: MemberSignature): boolean {
  const member = spec.kind === 'keygen' ? undefined : memberAt(spec.oldConfig, entry.index)
  return member !== undefined && verifyTagged(verify, member.publicKey, TAG, encodeSpec(spec), entry.signature)
}

/**
 * What a list of AUTHs amounts to. One bad signature, stranger or repeated signer makes the whole list worth nothing,
 * and so does a list shorter than t_old: undefined (row 20).
 */
export function authorizationStrength(
  verify: VerifyMessage,
  spec: CeremonySpec,
  entries: readonly MemberSignature[],
): Exclude<AuthorizationStrength, 'none'> | undefined {
  if (spec.kind === 'keygen' || entries.length < spec.oldConfig.t) return undefined
  if (new Set(entries.map(({ index }) => index)).size !== entries.length) return undefined
  if (!entries.every((entry) => verifyAuthorization(verify, spec, entry))) return undefined
  return entries.length >= quorum(spec.oldConfig) ? 'full' : 'degraded'
}
