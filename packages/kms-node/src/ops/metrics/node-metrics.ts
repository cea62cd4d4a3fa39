import { REFUSAL_REASONS } from '../../attest/refusal-status.ts'
import type { RefusalReason } from '../../attest/verdict.ts'
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'
import type { Clock } from '../../ports.ts'
import { createRequestMetrics, type RequestMetrics } from './request-metrics.ts'
import { createStateMetrics, type StateSources } from './state-metrics.ts'

/** One look at the node answers for this long, so that asking often costs little. */
const FRESH_MS = 1_000
const EVENT_LOOP_RESOLUTION_MS = 20

/** What does not change while the node runs. */
export interface BuildFacts {
  readonly version: string
  readonly profile: string
  readonly curve: string
  readonly sealer: string
}

/** What the parts of a node tell its metrics, and `GET /metrics` answers. */
export interface NodeMetrics extends RequestMetrics {
  readonly audit: {
    readonly onCommit: () => void
    readonly onFailure: () => void
  }
  /** @param whose proof was refused: a peer's by this node, or this node's own by a peer */
  readonly onAttestationRefused: (whose: 'peer' | 'own', reason: RefusalReason | 'unknown') => void
  /** From now on the gauges show these; before, a node that starts shows none, rather than zeros that mean something. */
  watch(sources: StateSources): void
  /** Prometheus text format 0.0.4, at most a second old. */
  readonly text: () => Promise<string>
}

export function createNodeMetrics(facts: BuildFacts, clock: Clock): NodeMetrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_RESOLUTION_MS })
  const { version, profile, curve, sealer } = facts
  new Gauge({
    name: 'tkms_build_info',
    help: 'Always 1; the labels say what runs.',
    labelNames: ['version', 'profile', 'curve'],
    registers,
  }).set({ version, profile, curve }, 1)
  new Gauge({
    name: 'tkms_sealer_info',
    help: 'Always 1; the label says what seals the store.',
    labelNames: ['provider'],
    registers,
  }).set({ provider: sealer }, 1)
  const commits = new Counter({ name: 'tkms_audit_commits_total', help: 'Commits of the audit log.', registers })
  const failures = new Counter({
    name: 'tkms_audit_failures_total',
    help: 'Times that the audit log or its anchor could not be written any more.',
    registers,
  })
  const attestationRefusals = new Counter({
    name: 'tkms_attestation_refusals_total',
    help: "Proofs of code that were refused: a peer's by this node, or this node's own by a peer.",
    labelNames: ['whose', 'reason'],
    registers,
  })
  for (const whose of ['peer', 'own'])
    for (const reason of [...REFUSAL_REASONS, 'unknown']) attestationRefusals.inc({ whose, reason }, 0)
  const state = new Registry()
  const update = createStateMetrics(state, clock)
  let sources: StateSources | undefined
  let last: { readonly atMs: number; readonly text: Promise<string> } | undefined
  const make = async (): Promise<string> => {
    if (sources === undefined) return registry.metrics()
    await update(sources)
    return `${await registry.metrics()}${await state.metrics()}`
  }
  return {
    ...createRequestMetrics(registry, clock),
    audit: { onCommit: () => commits.inc(), onFailure: () => failures.inc() },
    onAttestationRefused: (whose, reason) => attestationRefusals.inc({ whose, reason }),
    watch: (watched) => {
      sources = watched
      last = undefined
    },
    text: async () => {
      const nowMs = clock.monotonicMs()
      if (last === undefined || nowMs - last.atMs >= FRESH_MS) last = { atMs: nowMs, text: make() }
      return last.text
    },
  }
}
