import { REFUSAL_CODES } from '@tkms/dkg'
import { Counter, Histogram, type Registry } from 'prom-client'
import type { OperationId } from '../../http/operations.ts'
import type { Clock } from '../../ports.ts'
import type { DelegationPipeline, DelegationResult } from '../../serve/pipeline.ts'

export type Transport = 'http' | 'libp2p'

/** A share is multiplied in less than a millisecond; a rule may wait seconds for a chain. */
const BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const TRANSPORTS: readonly Transport[] = ['http', 'libp2p']
const RATE_LIMITED = 429
const OUTCOMES = ['answer', ...REFUSAL_CODES] as const

/** Counts what becomes of requests. Labels are the transport and fixed words: never who asked, nor for what. */
export interface RequestMetrics {
  /** The same pipeline, whose requests are counted as those of `transport`. */
  counted(transport: Transport, pipeline: DelegationPipeline): DelegationPipeline
  /** Items of a request whose partial went out. */
  readonly onReleased: (items: number) => void
  /** An HTTP call was answered. @param operation its id, "none" where there is no such path */
  readonly onReply: (operation: OperationId | 'none', status: number) => void
  /** A call was turned away because its address asks too often. */
  readonly onRateLimited: (transport: Transport) => void
}

export function createRequestMetrics(registry: Registry, clock: Pick<Clock, 'monotonicMs'>): RequestMetrics {
  const registers = [registry]
  const requests = new Counter({
    name: 'tkms_requests_total',
    help: 'Requests for decryption that were decided, by transport and outcome: answer, or the code of the refusal.',
    labelNames: ['transport', 'outcome'],
    registers,
  })
  const duration = new Histogram({
    name: 'tkms_request_duration_seconds',
    help: 'Time from a request for decryption, read whole, to its answer or refusal, the wait for its turn included.',
    labelNames: ['transport'],
    buckets: BUCKETS_SECONDS,
    registers,
  })
  const released = new Counter({
    name: 'tkms_released_items_total',
    help: 'Partial decryptions that were released.',
    registers,
  })
  const replies = new Counter({
    name: 'tkms_http_replies_total',
    help: 'Replies of the HTTP server, by operation and status.',
    labelNames: ['operation', 'status'],
    registers,
  })
  const rateLimited = new Counter({
    name: 'tkms_rate_limited_total',
    help: 'Calls turned away because their address asks too often, by transport. They are not among the requests that were decided.',
    labelNames: ['transport'],
    registers,
  })
  for (const transport of TRANSPORTS) rateLimited.labels(transport).inc(0)
  const seriesOf = (transport: Transport): ((result: DelegationResult, startMs: number) => void) => {
    // Looked up once: a label is not hashed for each request, and every outcome is there from the beginning, so that its first rise is one.
    const outcomes = new Map<string, Counter.Internal>(
      OUTCOMES.map((outcome) => [outcome, requests.labels(transport, outcome)]),
    )
    for (const counter of outcomes.values()) counter.inc(0)
    const times = duration.labels(transport)
    return (result, startMs) => {
      outcomes.get(result.kind === 'answer' ? 'answer' : result.code)?.inc()
      times.observe((clock.monotonicMs() - startMs) / 1000)
    }
  }
  const series = new Map(TRANSPORTS.map((transport) => [transport, seriesOf(transport)]))
  return {
    counted: (transport, pipeline) => ({
      get underWay() {
        return pipeline.underWay
      },
      handle: async (authorization, call) => {
        const startMs = clock.monotonicMs()
        const result = await pipeline.handle(authorization, call)
        series.get(transport)?.(result, startMs)
        return result
      },
    }),
    onReleased: (items) => released.inc(items),
    onReply: (operation, status) => {
      replies.labels(operation, `${status}`).inc()
      if (status === RATE_LIMITED) rateLimited.labels('http').inc()
    },
    onRateLimited: (transport) => rateLimited.labels(transport).inc(),
  }
}
