import type { DelegationPipeline } from '../serve/pipeline.ts'

/** Requests under way at a stop get this long to be answered. */
export const DRAIN_MS = 5_000

/** The door before the delegation pipeline of a node, closed when it stops. */
export interface Drain {
  /** The same pipeline while the node runs; once it stops every new request is refused as `not-ready`, which callers may retry elsewhere. */
  readonly pipeline: DelegationPipeline
  /** `stopping` from the moment the node is told to stop, before anything is closed. */
  problem(): 'stopping' | undefined
  /** Lets no new request in; resolves when those under way are answered, or `DRAIN_MS` later. Idempotent. */
  stop(): Promise<void>
}

export function createDrain(inner: DelegationPipeline, drainMs: number = DRAIN_MS): Drain {
  const { promise: answered, resolve } = Promise.withResolvers<void>()
  let underWay = 0
  let stopping = false
  const leave = (): void => {
    underWay--
    if (stopping && underWay === 0) resolve()
  }
  return {
    pipeline: {
      get underWay() {
        return inner.underWay
      },
      handle: async (authorization, call) => {
        if (stopping) return { kind: 'refusal', code: 'not-ready' }
        underWay++
        return inner.handle(authorization, call).finally(leave)
      },
    },
    problem: () => (stopping ? 'stopping' : undefined),
    stop: async () => {
      stopping = true
      if (underWay === 0) resolve()
      const timer = setTimeout(resolve, drainMs)
      await answered
      clearTimeout(timer)
    },
  }
}
