import type { ClusterNode } from '@tkms/dkg'
import type { PeerAttestationState } from '../../attest/peer-attestation.ts'
import type { AttestationConfig } from '../../config/types.ts'
import { type Finding, findingsOf } from './finding.ts'
import type { PeerStatus } from './peer-answers.ts'

const DAY_MS = 86_400_000
const RENEW =
  'its operator looks why its collateral is not renewed: attestation.collateral.url in node.yaml, or the files of its directory'

/** How long what a node says of its own proof holds. A node of an earlier version says nothing. */
export function judgeProof(
  { name }: Pick<ClusterNode, 'name'>,
  { attestation }: Pick<PeerStatus, 'attestation'>,
  here: { readonly wanted: Pick<AttestationConfig, 'requirePeers' | 'warnDays'>; readonly nowMs: number },
): readonly Finding[] {
  const finding = findingsOf('attestation', name)
  if (attestation === undefined) return []
  const { provider, refused, expires } = attestation
  if (provider === 'none' && here.wanted.requirePeers)
    return [finding.fail('proves nothing, and proofs are wanted here', 'its operator sets attestation.provider')]
  if (provider === 'none') return [finding.ok('proves nothing, and nobody here wants it to')]
  if (refused === 'collateral') return [finding.warn('knows no collateral for its own platform', RENEW)]
  if (refused !== undefined)
    return [
      finding.fail(
        `would refuse its own quote: ${refused}`,
        refused === 'expired' ? RENEW : 'its operator looks at own-quote-refused in its log',
      ),
    ]
  if (expires === undefined)
    return [finding.warn('has not judged its own quote yet', 'run this again in a minute; else see its log')]
  return [holdsFor(finding, 1000 * expires - here.nowMs, here.wanted.warnDays)]
}

function holdsFor(finding: ReturnType<typeof findingsOf>, leftMs: number, warnDays: number): Finding {
  const days = Math.floor(leftMs / DAY_MS)
  if (days < 0) return finding.fail('its proof has expired', RENEW)
  if (days < warnDays) return finding.warn(`its proof ends in ${days} days`, RENEW)
  return finding.ok(`its proof holds for ${days} days`)
}

/** What this node makes of the proofs of its peers; empty where it wants none. */
export const judgePeerProofs = (
  states: readonly PeerAttestationState[],
  here: { readonly warnDays: number; readonly nowMs: number },
): readonly Finding[] =>
  states.map(({ peer, state, kept, reason, expiresMs = 0 }) => {
    const finding = findingsOf('attestation', peer)
    if (state === 'proven') return holdsFor(finding, expiresMs - here.nowMs, here.warnDays)
    if (state === 'refused')
      return finding.fail(
        `its proof is refused here: ${reason ?? 'unknown'}`,
        'speak to its operator before any allow list is changed; run: attest verify',
      )
    if (state === 'expired')
      return finding.fail(
        kept === true ? 'its proof has expired, and it stays by the floor alone' : 'its proof has expired here',
        'put fresh collateral into the directory of this node before anything is restarted',
      )
    return finding.warn('is not connected, so it has proven nothing here', 'see what is said of its addresses')
  })

/** What protects the store of another node, as it says. */
export function judgePeerSealing({ name }: Pick<ClusterNode, 'name'>, status: PeerStatus): Finding {
  const finding = findingsOf('sealing', name)
  const { sealing, profile } = status
  return profile === 'development' || sealing.startsWith('kms-file')
    ? finding.warn(
        `${sealing}, in the ${profile} profile`,
        'its operator sets profile: production before anything of value is sealed',
      )
    : finding.ok(`${sealing}, in the ${profile} profile`)
}
