import type { ClusterNode, ParticipantIndex } from '@tkms/dkg'

const KEPT_SAMPLES = 32
/** An older sample says nothing about the node of today: one that was slow or away is tried again. */
const SAMPLE_LIFETIME_MS = 5 * 60_000
/** Fewer samples say nothing about a 95th percentile. */
const MIN_SAMPLES = 8
const DEFAULT_HEDGE_MS = 1_000
/** No hedging below it: nodes need about 10 ms for the mathematics alone. */
const MIN_HEDGE_MS = 50

/** What one client remembers of the nodes it asked, for as long as it lives. */
export interface NodeRecords {
  /** An answer took this long to come. One that turns out wrong is `misbehaved` besides. */
  answered(index: ParticipantIndex, latencyMs: number): void
  /** No answer: counts as one that took `penaltyMs` when nodes are put in order, and not for hedging. */
  failed(index: ParticipantIndex, penaltyMs: number): void
  /** Others were quicker and its call was given up after this time: what it would have taken is not known, and counts as twice that. */
  outrun(index: ParticipantIndex, elapsedMs: number): void
  /** Broke the protocol: asked last from now on. */
  misbehaved(index: ParticipantIndex): void
  /** Best first: honest before misbehaving, then by median latency; nodes not yet asked come first, in random order. */
  order(nodes: readonly ClusterNode[]): ClusterNode[]
  /** How long to wait for this node before another one is asked too: the 95th percentile of its own answers. */
  hedgeAfterMs(index: ParticipantIndex): number
}

interface Sample {
  readonly latencyMs: number
  readonly takenMs: number
  /** There was no answer: says how good a node is, not how long its answers take. */
  readonly penalty: boolean
}

interface NodeRecord {
  samples: readonly Sample[]
  misbehaved: boolean
}

/**
 * @param random gives u32 values, to spread first requests over the nodes
 * @param nowMs a clock that only goes forward
 */
export function createNodeRecords(random: () => number, nowMs: () => number = () => performance.now()): NodeRecords {
  const records = new Map<ParticipantIndex, NodeRecord>()

  function recordOf(index: ParticipantIndex): NodeRecord {
    const record = records.get(index) ?? { samples: [], misbehaved: false }
    records.set(index, record)
    return record
  }

  function addSample(index: ParticipantIndex, latencyMs: number, penalty = false): void {
    const record = recordOf(index)
    record.samples = [...record.samples, { latencyMs, takenMs: nowMs(), penalty }].slice(-KEPT_SAMPLES)
  }

  function samplesOf(index: ParticipantIndex): readonly Sample[] {
    const oldestMs = nowMs() - SAMPLE_LIFETIME_MS
    return recordOf(index).samples.filter(({ takenMs }) => takenMs >= oldestMs)
  }

  return {
    answered: (index, latencyMs) => addSample(index, latencyMs),
    failed: (index, penaltyMs) => addSample(index, penaltyMs, true),
    outrun: (index, elapsedMs) => addSample(index, 2 * elapsedMs),
    misbehaved(index) {
      recordOf(index).misbehaved = true
    },
    order: (nodes) =>
      nodes
        .map((node) => ({
          node,
          rank: recordOf(node.index).misbehaved ? 1 : 0,
          latencyMs: percentileMs(samplesOf(node.index), 0.5) ?? 0,
          shuffle: random(),
        }))
        .toSorted(
          (left, right) => left.rank - right.rank || left.latencyMs - right.latencyMs || left.shuffle - right.shuffle,
        )
        .map(({ node }) => node),
    hedgeAfterMs(index) {
      const samples = samplesOf(index).filter(({ penalty }) => !penalty)
      if (samples.length < MIN_SAMPLES) return DEFAULT_HEDGE_MS
      return Math.max(MIN_HEDGE_MS, percentileMs(samples, 0.95) ?? DEFAULT_HEDGE_MS)
    },
  }
}

function percentileMs(samples: readonly Sample[], share: number): number | undefined {
  const sorted = samples.map(({ latencyMs }) => latencyMs).toSorted((left, right) => left - right)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}
