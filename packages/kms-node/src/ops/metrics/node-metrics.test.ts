import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CeremonyId, REFUSAL_CODES, type RefusalCode } from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import { writeEvidence } from '../../ceremony/evidence-files.ts'
import type { CeremonyStatus } from '../../ceremony/status.ts'
import type { KeyLife } from '../../keys/keeper-types.ts'
import { alice, authorize, requestOf, verifiedKey } from '../../serve/pipeline.fixture.ts'
import type { DelegationPipeline } from '../../serve/pipeline.ts'
import { createNodeMetrics } from './node-metrics.ts'
import { committeesOf, countEvidence } from './open-metrics.ts'
import type { StateSources } from './state-metrics.ts'

const facts = { version: '1.2.3', profile: 'production', curve: 'noble', sealer: 'passphrase' }
let nowMs = 5_000_000
const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs }
const call = { remote: '192.0.2.7', address: '192.0.2.7', signal: new AbortController().signal }
const refusing = (code: RefusalCode): DelegationPipeline => ({
  underWay: 0,
  handle: async () => {
    nowMs += 20
    return { kind: 'refusal', code }
  },
})
const sources: StateSources = {
  underWay: () => 3,
  places: 10,
  audit: { problem: () => 'disk-full' },
  readiness: { storage: async () => undefined },
  keys: () => [],
  serves: () => true,
  committees: () => [{ keyName: 'ecies/a"b', generation: 1, members: 3, threshold: 2, reachable: 1 }],
  peers: () => [
    { name: 'bob', connected: true },
    { name: 'carol', connected: false },
  ],
  attested: () => [
    { peer: 'bob', state: 'proven', expiresMs: 7_000 },
    { peer: 'carol', state: 'refused', reason: 'measurement' },
    { peer: 'dave', state: 'expired', kept: true, expiresMs: 3_000 },
  ],
  ownAttestation: () => ({ provider: 'tdx', expiresMs: 9_000, refused: 'tcb' }),
  attestationWarnSeconds: 86_400,
  ceremonies: () => [],
  evidence: async () => ({ proven: 2, alleged: 1 }),
  freeBytes: async () => 1024,
  tls: () => ({ notBefore: 1, notAfter: 2, spkiSha256: '0x', problems: ['expired'] }),
  policy: () => ({ file: 'policy.yaml', inForce: { sha256: '0x', since: 9 } }),
}

describe('the metrics of a node', () => {
  it('count requests by transport and outcome, each there from the beginning, and never by who asked', async () => {
    const metrics = createNodeMetrics(facts, clock)
    const authorization = authorize(requestOf())
    await metrics.counted('http', refusing('not-allowed')).handle(authorization, call)
    await metrics.counted('http', refusing('not-allowed')).handle(authorization, call)
    await metrics.counted('libp2p', refusing('busy')).handle(authorization, call)
    metrics.onReleased(4)
    metrics.onReply('delegate', 429)
    const text = await metrics.text()
    expect(text).toContain('tkms_requests_total{transport="http",outcome="not-allowed"} 2\n')
    expect(text).toContain('tkms_requests_total{transport="libp2p",outcome="busy"} 1\n')
    for (const outcome of ['answer', ...REFUSAL_CODES])
      expect(text).toContain(`tkms_requests_total{transport="http",outcome="${outcome}"}`)
    expect(text).toContain('tkms_request_duration_seconds_bucket{le="0.01",transport="http"} 0\n')
    expect(text).toContain('tkms_request_duration_seconds_bucket{le="0.025",transport="http"} 2\n')
    expect(text).toContain('tkms_released_items_total 4\n')
    expect(text).toContain('tkms_http_replies_total{operation="delegate",status="429"} 1\n')
    expect(text).toContain('tkms_rate_limited_total{transport="http"} 1\n')
    expect(text).toContain('tkms_rate_limited_total{transport="libp2p"} 0\n')
    expect(text).not.toContain(call.address)
    expect(text).not.toContain(alice.id)
  })

  it('show what the node sees, look again after a second, and forget a peer that left', async () => {
    const metrics = createNodeMetrics(facts, clock)
    expect(await metrics.text()).not.toMatch(/tkms_(?:audit_recording|store_writable|time_seconds|tls)/)
    metrics.watch(sources)
    metrics.audit.onCommit()
    metrics.audit.onFailure()
    metrics.onAttestationRefused('peer', 'measurement')
    metrics.onAttestationRefused('own', 'tcb')
    const text = await metrics.text()
    for (const line of [
      'tkms_build_info{version="1.2.3",profile="production",curve="noble"} 1',
      'tkms_sealer_info{provider="passphrase"} 1',
      'tkms_requests_under_way 3',
      'tkms_request_places 10',
      'tkms_audit_recording 0',
      'tkms_audit_commits_total 1',
      'tkms_audit_failures_total 1',
      'tkms_store_writable 1',
      'tkms_data_free_bytes 1024',
      'tkms_serving 1',
      'tkms_key_members_reachable{key="ecies/a\\"b",generation="1"} 1',
      'tkms_key_threshold{key="ecies/a\\"b",generation="1"} 2',
      'tkms_peers_expected 2',
      'tkms_peers_connected 1',
      'tkms_peer_up{peer="carol"} 0',
      'tkms_evidence_records{certainty="proven"} 2',
      'tkms_tls_certificate_expiry_timestamp_seconds 2',
      'tkms_tls_certificate_problem{problem="expired"} 1',
      'tkms_policy_file_refused 0',
      'tkms_attestation_expiry_timestamp_seconds{peer="bob"} 7',
      'tkms_peer_attested{peer="bob"} 1',
      'tkms_peer_attested{peer="carol"} 0',
      'tkms_peer_attestation_refused{peer="carol",reason="measurement"} 1',
      'tkms_peer_attestation_kept{peer="dave"} 1',
      'tkms_own_attestation_expiry_timestamp_seconds{provider="tdx"} 9',
      'tkms_own_attestation_refused{reason="tcb"} 1',
      'tkms_attestation_warn_seconds 86400',
      'tkms_attestation_refusals_total{whose="peer",reason="measurement"} 1',
      'tkms_attestation_refusals_total{whose="own",reason="tcb"} 1',
      `tkms_time_seconds ${nowMs / 1000}`,
    ])
      expect(text).toContain(`\n${line}\n`)
    metrics.watch({
      ...sources,
      peers: () => [{ name: 'bob', connected: true }],
      attested: () => [],
      ownAttestation: () => ({ provider: 'none' }),
    })
    const later = await metrics.text()
    expect(later).not.toContain('carol')
    for (const gone of ['attestation_expiry_timestamp_seconds', 'peer_attestation_refused', 'own_attestation_refused'])
      expect(later).not.toContain(`tkms_${gone}{`)
    expect(later).not.toContain('tkms_own_attestation_expiry_timestamp_seconds{')
    metrics.onReleased(1)
    expect(await metrics.text()).toBe(later)
    nowMs += 1_000
    expect(await metrics.text()).toContain('tkms_released_items_total 1\n')
  })

  it('tell how long a ceremony waits: since its last progress, or since it was seen', async () => {
    const metrics = createNodeMetrics(facts, clock)
    let ceremonies: readonly Partial<CeremonyStatus>[] = [
      { ceremony: '0x01', stage: 'proposed' },
      { ceremony: '0x02', stage: 'complete', since: 0 },
    ]
    metrics.watch({ ...sources, ceremonies: () => ceremonies as readonly CeremonyStatus[] })
    expect(await metrics.text()).toContain('tkms_ceremony_oldest_waiting_seconds 0\n')
    nowMs += 30_000
    const text = await metrics.text()
    expect(text).toContain('tkms_ceremony_oldest_waiting_seconds 30\n')
    expect(text).toContain('tkms_ceremonies{stage="proposed"} 1\n')
    expect(text).toContain('tkms_ceremonies{stage="complete"} 1\n')
    ceremonies = [{ ceremony: '0x01', stage: 'running', since: nowMs / 1000 - 90 }]
    nowMs += 1_000
    expect(await metrics.text()).toContain('tkms_ceremony_oldest_waiting_seconds 91\n')
  })
})

describe('what this node sees', () => {
  it('is of a committee its connected members, and itself where it has a share', () => {
    const key = verifiedKey()
    const indices = key.config.members.map(({ index }) => index)
    const [self = 0, other = 0] = indices
    const lives = (servable: boolean, destroyedAtMs?: number) => ({
      list: () =>
        [
          { ...(destroyedAtMs !== undefined && { destroyedAtMs }), sharings: [{ sharing: { key }, servable }] },
        ] as unknown as readonly KeyLife[],
    })
    const common = { keyName: key.keyName, generation: key.generation, members: indices.length, threshold: key.t }
    const connected = new Set([other, 999])
    expect(committeesOf(lives(true), { self, connected })).toEqual([{ ...common, reachable: 2 }])
    expect(committeesOf(lives(false), { self, connected })).toEqual([{ ...common, reachable: 1 }])
    expect(committeesOf(lives(true, 1), { self, connected })).toEqual([])
  })

  it('is of evidence what lies on disk, proven or only alleged', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tkms-evidence-'))
    const evidence = join(directory, 'evidence')
    expect(await countEvidence(evidence)).toEqual({ proven: 0, alleged: 0 })
    const fault = { kind: 'E2', certainty: 'proven', summary: 'two', evidence: Uint8Array.of(1) } as const
    const key = verifiedKey()
    const [first, second] = key.config.members
    if (first === undefined || second === undefined) throw new Error('two members')
    const ceremony = new Uint8Array(32) as CeremonyId
    await writeEvidence(evidence, ceremony, { ...fault, culprit: first.index })
    await writeEvidence(evidence, ceremony, {
      ...fault,
      culprit: second.index,
      certainty: 'alleged',
      evidence: new Uint8Array(0),
    })
    expect(await countEvidence(evidence)).toEqual({ proven: 1, alleged: 1 })
    await rm(directory, { recursive: true })
  })
})
