/** What was measured of one request. */
export interface MeasuredRequest {
  readonly method: string
  /** The route, never a path somebody made up. */
  readonly endpoint: string
  readonly status: number
  readonly seconds: number
}

/** The three HTTP metrics of axum-prometheus, under its names (interop 1.1). */
export interface HttpMetrics {
  begin(request: Pick<MeasuredRequest, 'method' | 'endpoint'>): void
  /** Answered, or its caller gone. */
  end(request: MeasuredRequest): void
  /** Prometheus text format 0.0.4. */
  text(): string
}

const TOTAL = 'axum_http_requests_total'
const PENDING = 'axum_http_requests_pending'
const DURATION = 'axum_http_requests_duration_seconds'
const BUCKETS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
/** Methods are the caller's text: others count as one. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'CONNECT'])

interface Histogram {
  count: number
  sumSeconds: number
  readonly buckets: number[]
}

/** Bounded: as many series as there are methods, routes and statuses. */
export function createHttpMetrics(): HttpMetrics {
  const pending = new Map<string, number>()
  const durations = new Map<string, Histogram>()

  const add = (labels: string, by: number): void => void pending.set(labels, (pending.get(labels) ?? 0) + by)
  return {
    begin: ({ method, endpoint }) => add(routeLabels(method, endpoint), 1),
    end({ method, endpoint, status, seconds }) {
      add(routeLabels(method, endpoint), -1)
      const labels = `method="${knownMethod(method)}",status="${status}",endpoint="${endpoint}"`
      const histogram = durations.get(labels) ?? { count: 0, sumSeconds: 0, buckets: BUCKETS_SECONDS.map(() => 0) }
      histogram.count++
      histogram.sumSeconds += seconds
      for (const [at, most] of BUCKETS_SECONDS.entries())
        if (seconds <= most) histogram.buckets[at] = (histogram.buckets[at] ?? 0) + 1
      durations.set(labels, histogram)
    },
    text() {
      const lines = [`# TYPE ${TOTAL} counter`]
      for (const [labels, { count }] of durations) lines.push(`${TOTAL}{${labels}} ${count}`)
      lines.push('', `# TYPE ${PENDING} gauge`)
      for (const [labels, count] of pending) lines.push(`${PENDING}{${labels}} ${count}`)
      lines.push('', `# TYPE ${DURATION} histogram`)
      for (const [labels, { count, sumSeconds, buckets }] of durations) {
        for (const [at, most] of BUCKETS_SECONDS.entries())
          lines.push(`${DURATION}_bucket{${labels},le="${most}"} ${buckets[at] ?? 0}`)
        lines.push(`${DURATION}_bucket{${labels},le="+Inf"} ${count}`)
        lines.push(`${DURATION}_sum{${labels}} ${sumSeconds}`, `${DURATION}_count{${labels}} ${count}`)
      }
      return `${lines.join('\n')}\n\n`
    },
  }
}

const knownMethod = (method: string): string => (METHODS.has(method) ? method : '')
const routeLabels = (method: string, endpoint: string): string =>
  `method="${knownMethod(method)}",endpoint="${endpoint}"`
