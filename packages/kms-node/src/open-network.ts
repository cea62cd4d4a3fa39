import type { Libp2p } from '@libp2p/interface'
import { verifyEd25519 } from '@tkms/dkg'
import type { NodeConfig } from './config/types.ts'
import { createRateLimit } from './http/rate-limit.ts'
import { createAliveProtocol } from './net/alive-protocol.ts'
import { type CeremonyNetwork, createCeremonyNetwork } from './net/ceremony-protocol.ts'
import { createDelegateServer } from './net/delegate-protocol.ts'
import { createHost, startHost } from './net/host.ts'
import type { NetLimits } from './net/limits.ts'
import { createRoster } from './net/roster.ts'
import { createInstance, createInstanceGuard, type InstanceGuard } from './ops/instance.ts'
import { type Log, logPeers } from './ops/log.ts'
import {
  type NodeStanding,
  type OpenedPeerAttestation,
  openPeerAttestation,
  type OpenPeerAttestationParams,
} from './open-peer-attestation.ts'
import type { Own } from './open-own.ts'
import type { Attester, Clock, Rng } from './ports.ts'
import type { DelegationPipeline } from './serve/pipeline.ts'
import type { Stop } from './stop-all.ts'

/** Calls under way at a stop get this long to finish. */
const DRAIN_MS = 5_000
/** Addresses whose rate on libp2p is remembered. */
const MAX_CALLERS = 65_536

export interface OpenNetworkParams {
  readonly config: NodeConfig
  readonly own: Own
  readonly limits: NetLimits
  readonly pipeline: DelegationPipeline
  readonly clock: Clock
  readonly rng: Rng
  readonly log: Log
  readonly standing: NodeStanding
  /** A call was turned away because its address asks too often. */
  readonly onRateLimited: () => void
  /** The node's only one: a platform gives one quote after the other. */
  readonly attester: Attester
  readonly onAttestationRefused: OpenPeerAttestationParams['onRefused']
}

/** A node on libp2p. */
export interface NodeNetwork {
  readonly host: Libp2p
  readonly guard: InstanceGuard
  readonly attested: OpenedPeerAttestation['states']
  /** Not started: what hears its frames comes later. */
  readonly ceremonies: CeremonyNetwork
}

/**
 * Listens on libp2p, makes sure that no other process has this identity, and answers requests.
 * @throws KmsError `duplicate-identity`, `bad-attestation-file`, errors of listening
 */
export async function openNetwork(params: OpenNetworkParams, stops: Stop[]): Promise<NodeNetwork> {
  const { config, own, limits, pipeline, clock, rng, log, standing, onRateLimited, onAttestationRefused, attester } =
    params
  const { identity, sign, joined, self } = own
  const roster = createRoster(joined.nodes, self.index)
  const host = await createHost({
    identity: identity.seed,
    roster,
    listen: config.listen,
    announce: config.announce,
    limits,
  })
  const base = { config, own, host, roster, limits, clock, rng, log }
  const { gate, states: attested } = await openPeerAttestation(
    { ...base, attester, standing, onRefused: onAttestationRefused },
    stops,
  )
  await startHost(host, config.listen)
  stops.push(() => host.stop())
  const { startupWaitMs } = config.ceremony
  const instance = createInstance({ sign, verify: verifyEd25519, self: identity.publicKey, clock, rng })
  const alive = createAliveProtocol({ host, roster, limits, gate, prove: (nonce) => instance.prove(nonce) })
  await alive.start()
  stops.push(() => alive.stop())
  const guard = createInstanceGuard(instance, (peer, nonce, signal) => alive.ask(peer, nonce, signal), startupWaitMs)
  await guard.atStart(roster.peers.map(({ index }) => index))
  const { requestsPerSecond, requestBurst: burst } = config.limits
  const rateLimit = createRateLimit({ requestsPerSecond, burst, maxCallers: MAX_CALLERS })
  const delegate = createDelegateServer({
    host,
    handler: pipeline,
    limits,
    gate,
    admit: (address, tokens) => {
      const admitted = rateLimit.retryAfterSeconds(address, clock.monotonicMs(), tokens) === 0
      if (!admitted) onRateLimited()
      return admitted
    },
    onStreamError: (remote, cause) => log.debug({ remote, cause }, 'delegate-stream-ended'),
  })
  await delegate.start()
  stops.push(() => delegate.stop(AbortSignal.timeout(DRAIN_MS)))
  const ceremonies = createCeremonyNetwork({ host, roster, limits, gate, events: logPeers(log) })
  return { host, guard, attested, ceremonies }
}
