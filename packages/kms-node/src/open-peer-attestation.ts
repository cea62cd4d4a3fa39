import type { Libp2p } from '@libp2p/interface'
import type { CommitteeConfig } from '@tkms/dkg'
import { createChannelProver, createChannelVerifier, type JudgeQuote } from './attest/channel-proof.ts'
import { openQuoteVerifiers } from './attest/open-verifier.ts'
import {
  createPeerAttestation,
  type PeerAttestationEvents,
  type PeerAttestationState,
} from './attest/peer-attestation.ts'
import { openProofMemory } from './attest/proof-memory.ts'
import { parseQuote } from './attest/quote.ts'
import { reasonOfStatus } from './attest/refusal-status.ts'
import { certificatesHash, type HeldCertificate } from './attest/report-data.ts'
import type { NodeConfig } from './config/types.ts'
import { createAttestProtocol } from './net/attest-protocol.ts'
import type { NetLimits } from './net/limits.ts'
import { OPEN_GATE, type PeerGate } from './net/peer-gate.ts'
import type { Roster } from './net/roster.ts'
import type { Log } from './ops/log.ts'
import type { NodeMetrics } from './ops/metrics/node-metrics.ts'
import type { Own } from './open-own.ts'
import type { Attester, Clock, Rng } from './ports.ts'
import type { Stop } from './stop-all.ts'

export interface OpenPeerAttestationParams {
  readonly config: NodeConfig
  readonly attester: Attester
  readonly own: Own
  /** Not started: it is asked of every connection from its first moment on. */
  readonly host: Libp2p
  readonly roster: Roster
  readonly limits: NetLimits
  /** What this node goes by, and whom the floor of expired proofs counts. */
  readonly standing: NodeStanding
  /** A peer's proof was refused here, or this node's own by a peer. */
  readonly onRefused: NodeMetrics['onAttestationRefused']
  readonly clock: Clock
  readonly rng: Rng
  readonly log: Log
}

/** What of the keys of a node its proofs depend on, as it is now. */
export interface NodeStanding {
  readonly certificates: () => readonly HeldCertificate[]
  readonly committees: () => readonly CommitteeConfig[]
}

export interface OpenedPeerAttestation {
  readonly gate: PeerGate
  readonly states: () => readonly PeerAttestationState[]
}

/**
 * Answers peers that want a proof of what runs here, and, with `attestation.requirePeers`, asks each of them for one.
 * @throws KmsError `bad-attestation-file`
 */
export async function openPeerAttestation(
  params: OpenPeerAttestationParams,
  stops: Stop[],
): Promise<OpenedPeerAttestation> {
  const { config, own, host, roster, limits, standing, clock, rng, log } = params
  const { attestation } = config
  const { clusterId } = own.joined.config
  const ownHash = (): Uint8Array => certificatesHash(standing.certificates())
  const protocol = createAttestProtocol({
    host,
    roster,
    limits,
    prove: createChannelProver({
      attester: params.attester,
      clusterId,
      identity: own.identity.publicKey,
      certificatesHash: ownHash,
    }),
    onVerdict: (peer, status) => {
      const reason = reasonOfStatus(status)
      if (reason === undefined) return
      params.onRefused('own', reason)
      log.warn({ peer, reason }, 'own-attestation-refused')
    },
    onUnanswered: (peer, cause) => log.warn({ peer, cause }, 'attestation-not-answered'),
  })
  await protocol.start()
  stops.push(() => protocol.stop())
  if (!attestation.requirePeers) return { gate: OPEN_GATE, states: () => [] }
  const verifiers = await openQuoteVerifiers(attestation, { clock, log })
  const judge: JudgeQuote = (quote, { asOfMs, ...check }) => verifiers(attestation.allow, asOfMs).verify(quote, check)
  const onError = (cause: unknown): void => log.error({ cause }, 'proofs-not-kept')
  const proofs = await openProofMemory({ store: own.store, roster, onError })
  const gate = createPeerAttestation({
    host,
    roster,
    self: own.self.index,
    protocol,
    verifier: createChannelVerifier({ clusterId, judge, reportDataOf: (quote) => parseQuote(quote)?.reportData }),
    certificatesHash: ownHash,
    proofs,
    committees: standing.committees,
    keepFloor: attestation.keepFloor,
    warnDays: attestation.warnDays,
    clock,
    rng,
    events: tellAttestation(params),
  })
  stops.push(async () => {
    gate.stop()
    await proofs.settled()
  })
  return { gate, states: () => gate.states() }
}

const tellAttestation = ({
  log,
  onRefused,
}: Pick<OpenPeerAttestationParams, 'log' | 'onRefused'>): PeerAttestationEvents => ({
  onAccepted: ({ index: peer }, { measurement, tcbStatus, expiresMs }, certificates) =>
    log.info(
      { peer, measurement, tcbStatus, certificates, expires: new Date(expiresMs).toISOString() },
      'peer-attested',
    ),
  onRefused: ({ index: peer }, reason, detail) => {
    onRefused('peer', reason)
    log.warn({ peer, reason, detail }, 'peer-attestation-refused')
  },
  onExpiring: ({ index: peer }, daysLeft) =>
    log.warn({ peer, daysLeft: Math.floor(daysLeft) }, 'peer-attestation-ends'),
  onKeptByFloor: ({ index: peer }) => log.error({ peer }, 'expired-peer-kept'),
})
