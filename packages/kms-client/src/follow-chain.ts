import type { Cluster, ClusterNode } from '@tkms/dkg'
import { isKmsError } from './errors.ts'
import { fetchCluster } from './fetch-cluster.ts'
import type { HttpExchange } from './transport/exchange.ts'
import type { Learnt, TrustedCluster } from './trust.ts'

/** Nodes asked for their cluster file at a time. */
const SOURCES_AT_ONCE = 8
/** So many files are enough when one of them leads further: most of them agree on the addresses of new members. */
const ENOUGH_FILES = 3
/** One node's time for its cluster file, which is a few kilobytes. */
const FETCH_TIMEOUT_MS = 3_000
/** Hints of single nodes cause no more than one refresh in this time: a lying node must not make every call one. */
const HINT_INTERVAL_MS = 10_000

/** Asks nodes for certificates that are newer than the known ones (protocol 6). */
export interface ChainFollower {
  /** Asks now; who comes while somebody asks gets the same answer. Never rejects but with the signal's reason. */
  refresh(signal: AbortSignal): Promise<Learnt>
  /** A node said that the sharing is no longer its own: asks in the background, not too often. */
  hint(): void
}

/**
 * Every node serves its cluster file over HTTP, whichever transport carries requests. Any node that tells the truth is enough:
 * what the files say is verified, and a file that says less changes nothing.
 * @param options.order best nodes first @param options.closed ends background work
 */
export function createChainFollower(options: {
  readonly trusted: TrustedCluster
  readonly exchange: HttpExchange
  readonly order: (nodes: readonly ClusterNode[]) => readonly ClusterNode[]
  /** Told of a node whose file has a certificate that does not hold: it is asked last from then on. */
  readonly onForgery: (node: ClusterNode) => void
  readonly closed: AbortSignal
}): ChainFollower {
  const { trusted, exchange, closed } = options
  let underWay: Promise<Learnt> | undefined
  let hintedMs = Number.NEGATIVE_INFINITY

  const fetchFrom = async ({ url, tlsSpkiSha256 }: ClusterNode, stop: AbortSignal): Promise<Cluster | undefined> => {
    const { configHash } = trusted.cluster
    const source = { url: `${url.replace(/\/+$/, '')}/v1/cluster`, configHash, ...(tlsSpkiSha256 && { tlsSpkiSha256 }) }
    const signal = AbortSignal.any([stop, AbortSignal.timeout(FETCH_TIMEOUT_MS)])
    try {
      return await fetchCluster(source, { exchange, signal })
    } catch (error) {
      if (isKmsError(error) || signal.aborted) return undefined
      throw error
    }
  }

  const askAll = async (): Promise<Learnt> => {
    const waiting = [...options.order(trusted.cluster.nodes)]
    let files: { readonly node: ClusterNode; readonly file: Cluster }[] = []
    const enough = new AbortController()
    const stop = AbortSignal.any([closed, enough.signal])
    let learnt: Learnt = { changed: false, forged: [] }
    const work = async (): Promise<void> => {
      for (let node = waiting.shift(); node !== undefined && !stop.aborted; node = waiting.shift()) {
        const file = await fetchFrom(node, stop)
        if (file === undefined || stop.aborted) continue
        files.push({ node, file })
        const now = trusted.learn(files.map((one) => one.file))
        learnt = together(learnt, now)
        // A forgery may show only when a later file leads up to it.
        const isForged = (one: (typeof files)[number]): boolean => now.forged.includes(one.file)
        for (const { node: forger } of files.filter(isForged)) options.onForgery(forger)
        files = files.filter((one) => !isForged(one))
        if (learnt.changed && files.length >= ENOUGH_FILES) enough.abort()
      }
    }
    await Promise.all(Array.from({ length: SOURCES_AT_ONCE }, work))
    return learnt
  }

  const refresh = (): Promise<Learnt> => {
    underWay ??= askAll().finally(() => {
      underWay = undefined
    })
    return underWay
  }

  return {
    refresh: (signal) => untilAborted(refresh(), signal),
    hint() {
      if (closed.aborted || performance.now() - hintedMs < HINT_INTERVAL_MS) return
      hintedMs = performance.now()
      // A refresh that fails is asked for again by the call that needs it.
      refresh().catch(() => undefined)
    },
  }
}

const together = (before: Learnt, now: Learnt): Learnt => {
  const degraded = now.degraded ?? before.degraded
  return {
    changed: before.changed || now.changed,
    forged: [...before.forged, ...now.forged],
    ...(degraded && { degraded }),
  }
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = (): void => reject(signal.reason as Error)
    if (signal.aborted) return cancel()
    signal.addEventListener('abort', cancel, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', cancel))
  })
}
