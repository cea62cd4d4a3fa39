import {
  bytesKey,
  type CeremonySpec,
  ceremonyId,
  dealerConfig,
  equalBytes,
  type MemberSignature,
  quorum,
  signMemberAuthorization,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { CeremonyRunPorts } from './run-ports.ts'
import type { AuthorizationStatus } from './status.ts'

type Ports = Pick<CeremonyRunPorts, 'self' | 'sign' | 'keys' | 'slots' | 'authorizations' | 'log'>

/** AUTH of this old member over X, durable when it resolves; undefined where the rules of the slot forbid it (protocol 3). */
export async function authorizeHere(ports: Ports, spec: CeremonySpec): Promise<MemberSignature | undefined> {
  const { self, slots, log } = ports
  try {
    const signature = await slots.authorize(spec, {
      holdsOldShare: spec.kind === 'import' || (spec.kind === 'reshare' && holdsShare(ports, spec.prevOutcome)),
      knowsCertificate: knowsCertificate(ports, spec),
      sign: () => signMemberAuthorization(ports.sign, spec, self).signature,
    })
    await ports.authorizations.add(spec, { index: self, signature })
    return { index: self, signature }
  } catch (cause) {
    if (!isKmsError(cause) || !cause.code.startsWith('slot-')) throw cause
    log.warn({ ceremony: `0x${bytesKey(ceremonyId(spec))}`, code: cause.code }, 'ceremony-not-authorized-here')
    return undefined
  }
}

const holdsShare = ({ keys }: Ports, sharingId: Uint8Array): boolean => keys.find(sharingId)?.hasShare === true

/** Also one that came from a peer: this node may have had no part in the ceremony behind it. */
const knowsCertificate = ({ keys }: Ports, spec: CeremonySpec): boolean =>
  spec.kind !== 'keygen' && keys.list().some(({ key }) => equalBytes(key.keyId, spec.keyId) && key.epoch >= spec.epoch)

/** How far AUTH of X has come, as far as this node knows. */
export function authorizationOf(
  { authorizations, nameOf }: Pick<CeremonyRunPorts, 'authorizations' | 'nameOf'>,
  spec: CeremonySpec,
): AuthorizationStatus {
  const dealers = dealerConfig(spec)
  const missing = authorizations.missing(spec)
  return {
    have: dealers.n - missing.length,
    want: quorum(dealers),
    least: dealers.t,
    missing: missing.map(nameOf),
  }
}
