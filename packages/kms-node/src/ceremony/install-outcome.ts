import {
  authorizationStrength,
  bytesKey,
  type CeremonySpec,
  ceremonyId,
  decodeCertificate,
  mayEraseOn,
  type Secret,
  slotEntry,
  type VerifiedKey,
  verifyEd25519,
} from '@tkms/dkg'
import type { CeremonyRunPorts } from './run-ports.ts'

/**
 * Brings the outcome of a ceremony into service: certificate and share to the key store, then the slot knows it. `share` is borrowed.
 * Whether earlier shares may be erased on its word is for the rules of the slot to say (protocol 8, rule 3).
 */
export async function installOutcome(
  { curve, keys, slots, log }: Pick<CeremonyRunPorts, 'curve' | 'keys' | 'slots' | 'log'>,
  spec: CeremonySpec,
  certificate: Uint8Array,
  share: Secret | undefined,
): Promise<VerifiedKey> {
  const { authorizations } = decodeCertificate(curve, certificate)
  const strength = authorizationStrength(verifyEd25519, spec, authorizations) ?? 'none'
  const state = slots.state(spec)
  const approval = slotEntry(state, ceremonyId(spec))?.approval ?? 'none'
  const key = await keys.install(certificate, share, {
    approvedHere: approval !== 'none',
    mayErase: mayEraseOn(state, spec, strength),
  })
  await slots.certify(spec, key.sharingId)
  log.info(
    { ceremony: `0x${bytesKey(key.ceremony)}`, keyId: bytesKey(key.keyId), holdsShare: share !== undefined },
    'key-installed',
  )
  return key
}
