import { Gauge, type Registry } from 'prom-client'
import type { OwnAttestationState } from '../../attest/own-attestation.ts'
import type { PeerAttestationState } from '../../attest/peer-attestation.ts'

/** What is known of proofs. */
export interface AttestationSources {
  /** Empty where peers need prove nothing. */
  readonly attested: () => readonly PeerAttestationState[]
  readonly ownAttestation: () => OwnAttestationState
  /** With how much of a proof left it is time to do something. */
  readonly attestationWarnSeconds: number
}

/** Gauges of what peers and the node itself prove of their code. @returns what brings them up to date */
export function createAttestationMetrics(registry: Registry): (sources: AttestationSources) => void {
  const gauge = <Label extends string = never>(name: string, help: string, labelNames: readonly Label[] = []) =>
    new Gauge<Label>({ name, help, labelNames, registers: [registry] })
  const attested = gauge('tkms_peer_attested', 'Whether what a peer proved of its code counts now: 1 or 0.', ['peer'])
  const expiry = gauge(
    'tkms_attestation_expiry_timestamp_seconds',
    'Until when what a peer proved of its code counts.',
    ['peer'],
  )
  const refused = gauge(
    'tkms_peer_attestation_refused',
    'Always 1: a connected peer whose proof is refused, and why.',
    ['peer', 'reason'],
  )
  const kept = gauge(
    'tkms_peer_attestation_kept',
    'Always 1: a peer whose proof has expired and counts all the same, since too few members were left without it.',
    ['peer'],
  )
  const ownExpiry = gauge(
    'tkms_own_attestation_expiry_timestamp_seconds',
    "When the first part of this node's own proof ends, by which others judge it.",
    ['provider'],
  )
  const ownRefused = gauge(
    'tkms_own_attestation_refused',
    'Always 1: this node would refuse its own proof, and why, whatever allow lists say.',
    ['reason'],
  )
  const warn = gauge('tkms_attestation_warn_seconds', 'With less than this left of a proof it is time to renew it.')
  return ({ attested: states, ownAttestation, attestationWarnSeconds }) => {
    for (const each of [attested, expiry, refused, kept, ownExpiry, ownRefused]) each.reset()
    for (const { peer, state, expiresMs, reason, kept: isKept } of states()) {
      attested.set({ peer }, Number(state === 'proven'))
      if (expiresMs !== undefined) expiry.set({ peer }, expiresMs / 1000)
      if (reason !== undefined) refused.set({ peer, reason }, 1)
      if (isKept === true) kept.set({ peer }, 1)
    }
    const own = ownAttestation()
    if (own.expiresMs !== undefined) ownExpiry.set({ provider: own.provider }, own.expiresMs / 1000)
    if (own.refused !== undefined) ownRefused.set({ reason: own.refused }, 1)
    warn.set(attestationWarnSeconds)
  }
}
