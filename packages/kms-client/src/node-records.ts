import type { ClusterNode, ParticipantIndex } from '@tkms/dkg'

const KEPT_SAMPLES = 32
/** Fewer samples say nothing about a 95th percentile. */
const MIN_SAMPLES = 8
const DEFAULT_HEDGE_MS = 1_000
/** No hedging below it: nodes need about 10 ms for the mathematics alone. */
const MIN_HEDGE_MS = 50

/** What one client remembers of the nodes it asked, for as long as it lives. */
export interface NodeRecords {
  /** A verified answer took this long. */
  answered(index: ParticipantIndex, latencyMs: number): void
  /** No answer: counts as one that took `penaltyMs`. */
  failed(index: ParticipantIndex, penaltyMs: number): void
  /** Broke the protocol: asked last from now on. */
  misbehaved(index: ParticipantIndex): void
  /** Best first: honest before misbehaving, then by median latency; nodes not yet asked come first, in random order. */
  order(nodes: readonly ClusterNode[]): ClusterNode[]
  /** How long to wait for this node before another one is asked too: the 95th percentile of its own answers. */
  hedgeAfterMs(index: ParticipantIndex): number
}

interface NodeRecord {
  readonly latenciesMs: number[]
  misbehaved: boolean
}

/** @param random gives u32 values, to spread first requests over the nodes */
export function createNodeRecords(random: () => number): NodeRecords {
  const records = new Map<ParticipantIndex, NodeRecord>()

  function recordOf(index: ParticipantIndex): NodeRecord {
    const record = records.get(index) ?? { latenciesMs: [], misbehaved: false }
    records.set(index, record)
    return record
  }

  function addSample(index: ParticipantIndex, latencyMs: number): void {
    const { latenciesMs } = recordOf(index)
    latenciesMs.push(latencyMs)
    if (latenciesMs.length > KEPT_SAMPLES) latenciesMs.shift()
  }

  function percentileMs(index: ParticipantIndex, share: number): number | undefined {
    const sorted = recordOf(index).latenciesMs.toSorted((left, right) => left - right)
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
  }

  return {
    answered: addSample,
    failed: addSample,
    misbehaved(index) {
      recordOf(index).misbehaved = true
    },
    order: (nodes) =>
      nodes
        .map((node) => ({
          node,
          rank: recordOf(node.index).misbehaved ? 1 : 0,
          latencyMs: percentileMs(node.index, 0.5) ?? 0,
          shuffle: random(),
        }))
        .toSorted(
          (left, right) => left.rank - right.rank || left.latencyMs - right.latencyMs || left.shuffle - right.shuffle,
        )
        .map(({ node }) => node),
    hedgeAfterMs(index) {
      const enough = recordOf(index).latenciesMs.length >= MIN_SAMPLES
      return enough ? Math.max(MIN_HEDGE_MS, percentileMs(index, 0.95) ?? DEFAULT_HEDGE_MS) : DEFAULT_HEDGE_MS
    },
  }
}
