import { Gauge, type Registry } from 'prom-client'
import type { CeremonyStatus } from '../../ceremony/status.ts'
import type { TlsProblem, TlsState } from '../../http/tls-watch.ts'
import type { KeyDescription, KeyRole } from '../../keys/describe-key.ts'
import type { SharingState } from '../../keys/life.ts'
import type { PolicyState } from '../../policy/live-policy.ts'
import type { Clock } from '../../ports.ts'
import type { AuditState, Readiness } from '../readiness.ts'
import { type AttestationSources, createAttestationMetrics } from './attestation-metrics.ts'
import { createWaitingCeremonies } from './waiting-ceremonies.ts'

/** A node that this one should be connected to. */
export interface ExpectedPeer {
  readonly name: string
  readonly connected: boolean
}

/** The committee of a key's latest sharing, as far as this node sees it. */
export interface ReachableCommittee {
  readonly keyName: string
  readonly generation: number
  readonly members: number
  readonly threshold: number
  /** Members that are connected, this node among them where it serves the key. */
  readonly reachable: number
}

/** What the gauges show; each is asked once per scrape. */
export interface StateSources extends AttestationSources {
  readonly underWay: () => number
  /** Requests that may be computed or wait at once. */
  readonly places: number
  readonly audit: AuditState
  readonly readiness: Pick<Readiness, 'storage'>
  readonly keys: () => readonly KeyDescription[]
  readonly serves: () => boolean
  readonly committees: () => readonly ReachableCommittee[]
  readonly peers: () => readonly ExpectedPeer[]
  readonly ceremonies: () => readonly CeremonyStatus[]
  /** Faults that are on disk. */
  readonly evidence: () => Promise<{ readonly proven: number; readonly alleged: number }>
  readonly freeBytes: () => Promise<number>
  /** Undefined without TLS. */
  readonly tls: () => TlsState | undefined
  readonly policy: () => PolicyState
}

const ROLES: readonly KeyRole[] = ['active', 'decrypt-only', 'retiring', 'awaiting-repair', 'not-a-member', 'destroyed']
const SHARING_STATES: readonly SharingState[] = [
  'active',
  'awaiting-repair',
  'not-a-member',
  'retiring',
  'superseded',
  'erased',
]
const TLS_PROBLEMS: readonly TlsProblem[] = ['expired', 'not-yet-valid', 'key-not-pinned']
const STAGES: readonly CeremonyStatus['stage'][] = [
  'proposed',
  'authorizing',
  'running',
  'left',
  'abandoned',
  'superseded',
  'complete',
  'failed',
  'expired',
]

/** Gauges of what a node is and sees. @returns what brings them up to date */
export function createStateMetrics(registry: Registry, clock: Clock): (sources: StateSources) => Promise<void> {
  const gauge = <Label extends string = never>(name: string, help: string, labelNames: readonly Label[] = []) =>
    new Gauge<Label>({ name, help, labelNames, registers: [registry] })
  const underWay = gauge('tkms_requests_under_way', 'Requests for decryption that are computed or wait for their turn.')
  const places = gauge(
    'tkms_request_places',
    'Requests for decryption that may be under way at once; more are refused as busy.',
  )
  const recording = gauge('tkms_audit_recording', 'Whether releases can be recorded: 1, or 0 and nothing is released.')
  const writable = gauge('tkms_store_writable', 'Whether the store takes bytes, at most five seconds ago: 1 or 0.')
  const free = gauge('tkms_data_free_bytes', 'Bytes left for this process where the data directory is.')
  const serving = gauge('tkms_serving', 'Whether this node answers requests for at least one key: 1 or 0.')
  const keys = gauge('tkms_keys', 'Keys that this node knows, by what they are to it.', ['role'])
  const sharings = gauge('tkms_sharings', 'Sharings that live here, and the last that are over, by state.', ['state'])
  const keyLabels = ['key', 'generation'] as const
  const epoch = gauge('tkms_key_epoch', 'Epoch of the latest sharing of a key.', keyLabels)
  const certified = gauge(
    'tkms_key_certificate_timestamp_seconds',
    'When this node first saw the latest certificate of a key, by its own clock.',
    keyLabels,
  )
  const members = gauge('tkms_key_members', 'Members of the committee of a key.', keyLabels)
  const threshold = gauge('tkms_key_threshold', 'Members that must answer to decrypt.', keyLabels)
  const reachable = gauge(
    'tkms_key_members_reachable',
    'Members of the committee of a key that this node sees, itself among them where it serves the key.',
    keyLabels,
  )
  const expected = gauge('tkms_peers_expected', 'Nodes that this one should be connected to.')
  const connected = gauge('tkms_peers_connected', 'Nodes among them that it is connected to.')
  const peerUp = gauge('tkms_peer_up', 'Whether this node is connected to a peer: 1 or 0.', ['peer'])
  const showAttestation = createAttestationMetrics(registry)
  const ceremonies = gauge('tkms_ceremonies', 'Ceremonies that this node knows of, by stage.', ['stage'])
  const oldest = gauge(
    'tkms_ceremony_oldest_waiting_seconds',
    'How long the ceremony that waits longest has made no progress here; 0 when none waits.',
  )
  const evidence = gauge('tkms_evidence_records', 'Faults of nodes in the evidence directory.', ['certainty'])
  const tlsExpiry = gauge('tkms_tls_certificate_expiry_timestamp_seconds', 'End of the TLS certificate that is served.')
  const tlsProblem = gauge('tkms_tls_certificate_problem', 'Why clients may refuse the TLS certificate: 1 or 0.', [
    'problem',
  ])
  const policyRefused = gauge(
    'tkms_policy_file_refused',
    'Whether the policy file as it is now is refused, and an earlier one stays in force: 1 or 0.',
  )
  const policySince = gauge('tkms_policy_in_force_timestamp_seconds', 'Since when the policy in force decides.')
  const time = gauge('tkms_time_seconds', 'The wall clock of this node.')
  const waiting = createWaitingCeremonies(clock)

  const byKey = ({ keyName, generation }: { readonly keyName: string; readonly generation: number }) => ({
    key: keyName,
    generation: `${generation}`,
  })
  const showKeys = (list: readonly KeyDescription[], committees: readonly ReachableCommittee[]): void => {
    for (const role of ROLES) keys.set({ role }, list.filter((key) => key.role === role).length)
    const all = list.flatMap((key) => key.sharings)
    for (const state of SHARING_STATES) sharings.set({ state }, all.filter((sharing) => sharing.state === state).length)
    for (const perKey of [epoch, certified, members, threshold, reachable]) perKey.reset()
    for (const key of list.filter(({ role }) => role !== 'destroyed')) {
      epoch.set(byKey(key), key.epoch)
      const since = key.sharings[0]?.since ?? 0
      if (since > 0) certified.set(byKey(key), since)
    }
    for (const committee of committees) {
      members.set(byKey(committee), committee.members)
      threshold.set(byKey(committee), committee.threshold)
      reachable.set(byKey(committee), committee.reachable)
    }
  }
  const showPeers = (peers: readonly ExpectedPeer[]): void => {
    expected.set(peers.length)
    connected.set(peers.filter((peer) => peer.connected).length)
    peerUp.reset()
    for (const peer of peers) peerUp.set({ peer: peer.name }, Number(peer.connected))
  }
  const showTls = (tls: TlsState | undefined): void => {
    if (tls === undefined) return
    tlsExpiry.set(tls.notAfter)
    for (const problem of TLS_PROBLEMS) tlsProblem.set({ problem }, Number(tls.problems.includes(problem)))
  }
  return async (sources) => {
    const [storage, found, freeBytes] = await Promise.all([
      sources.readiness.storage(),
      sources.evidence(),
      sources.freeBytes(),
    ])
    places.set(sources.places)
    underWay.set(sources.underWay())
    recording.set(Number(sources.audit.problem() === undefined))
    writable.set(Number(storage === undefined))
    free.set(freeBytes)
    serving.set(Number(sources.serves()))
    showKeys(sources.keys(), sources.committees())
    showPeers(sources.peers())
    showAttestation(sources)
    const known = sources.ceremonies()
    for (const stage of STAGES) ceremonies.set({ stage }, known.filter((one) => one.stage === stage).length)
    oldest.set(waiting.oldestSeconds(known))
    evidence.set({ certainty: 'proven' }, found.proven)
    evidence.set({ certainty: 'alleged' }, found.alleged)
    showTls(sources.tls())
    const { inForce, refused } = sources.policy()
    policyRefused.set(Number(refused !== undefined))
    policySince.set(inForce.since)
    time.set(clock.nowMs() / 1000)
  }
}
