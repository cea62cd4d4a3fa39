import { type CeremonyStatus, isFinal } from '../../ceremony/status.ts'
import type { Clock } from '../../ports.ts'

/** Tells how long ceremonies wait: since their last progress, and one that says no such time since it was first seen here. */
export function createWaitingCeremonies(clock: Pick<Clock, 'nowMs' | 'monotonicMs'>): {
  /** @returns 0 when none waits */
  oldestSeconds(ceremonies: readonly CeremonyStatus[]): number
} {
  const firstSeenMs = new Map<string, number>()
  return {
    oldestSeconds(ceremonies) {
      const waiting = ceremonies.filter((status) => !isFinal(status))
      const ids = new Set(waiting.map(({ ceremony }) => ceremony))
      for (const id of firstSeenMs.keys()) if (!ids.has(id)) firstSeenMs.delete(id)
      const ages = waiting.map(({ ceremony, since }) => {
        const seenMs = firstSeenMs.get(ceremony) ?? clock.monotonicMs()
        firstSeenMs.set(ceremony, seenMs)
        return since === undefined ? (clock.monotonicMs() - seenMs) / 1000 : clock.nowMs() / 1000 - since
      })
      return Math.max(0, ...ages)
    },
  }
}
