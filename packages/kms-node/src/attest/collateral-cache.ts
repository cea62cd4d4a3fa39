import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { readBounded, replaceFile } from '../files.ts'
import type { Clock } from '../ports.ts'
import { collateralProblem } from './check-collateral.ts'
import { holdsUntil, newestParts } from './collateral-age.ts'
import type { Collateral, CollateralQuery, CollateralSource } from './collateral.ts'
import { attestError } from './errors.ts'
import { outcomeUntil } from './outcome.ts'
import { fetchCollateral } from './pccs.ts'
import { readable } from './readable.ts'

const MAX_FILE_BYTES = 4 * 1024 * 1024
const HOUR_MS = 3_600_000
const WEEK_MS = 7 * 24 * HOUR_MS
/** A service that failed, or gave nothing that holds, is left alone for this long; twice as long after each further failure. */
const MIN_RETRY_MS = 60_000
const MAX_RETRY_MS = 15 * 60_000
/** Whoever has something that holds waits no longer than this for something newer. */
const MAX_WAIT_MS = 3_000
/** Kinds of platforms that are remembered, and asked for at once. */
const MAX_KINDS = 64
const MAX_UNDER_WAY = 8

const text = z.string().max(1024 * 1024)
const collateralSchema: z.ZodType<Collateral> = z.object({
  pck_crl_issuer_chain: text,
  root_ca_crl: text,
  pck_crl: text,
  tcb_info_issuer_chain: text,
  tcb_info: text,
  tcb_info_signature: text,
  qe_identity_issuer_chain: text,
  qe_identity: text,
  qe_identity_signature: text,
})

/** "tdx-b0c06f000000-platform.json" */
export const collateralFile = ({ tee, fmspc, ca }: CollateralQuery): string => `${tee}-${fmspc}-${ca}.json`

export interface CollateralCacheOptions {
  /** One file per kind of platform, as `collateralFile` names it. */
  readonly directory: string
  /** Of a PCCS; without it only the directory is read, and an operator puts new files there. */
  readonly url?: string | undefined
  /** The service is asked again after this time, however long what is kept holds: it may have revoked somebody. */
  readonly refreshHours: number
  /** DER of the root that signs all of it. */
  readonly root: Uint8Array
  readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs'>
  /** The service failed, or gave what nobody signed: what is kept is used as long as it holds. */
  readonly onNotFetched: (query: CollateralQuery, cause: unknown) => void
  /** A file could not be written: what was fetched is used all the same. */
  readonly onNotKept: (cause: unknown) => void
  readonly maxWaitMs?: number
}

/** What is known of one kind of platform. */
interface Kind {
  /** Fetched in this process, all of it signed. */
  fetched?: Collateral
  /** By the monotonic clock. */
  fetchedAtMs?: number
  retryAtMs: number
  failures: number
  /** One for all who wait. Never rejects; undefined where it failed. */
  underWay?: Promise<Collateral | undefined>
}

/**
 * Collateral from a directory, renewed from a PCCS every day. A silent service is no reason to refuse what still holds; the verifier
 * judges the times. Only what is signed is taken from it, and no part that is older than what is known.
 */
export function createCollateralCache(options: CollateralCacheOptions): CollateralSource {
  const { directory, url, root, clock, maxWaitMs = MAX_WAIT_MS } = options
  const kinds = new Map<string, Kind>()

  const pathOf = (query: CollateralQuery): string => join(directory, collateralFile(query))
  const isSigned = (collateral: Collateral, query: CollateralQuery): boolean =>
    collateralProblem(collateral, query, root) === undefined

  const kindOf = (name: string): Kind => {
    const kind = kinds.get(name) ?? { retryAtMs: Number.NEGATIVE_INFINITY, failures: 0 }
    kinds.delete(name)
    kinds.set(name, kind)
    const [oldest] = [...kinds].filter(([, { underWay }]) => underWay === undefined)
    if (kinds.size > MAX_KINDS && oldest !== undefined) kinds.delete(oldest[0])
    return kind
  }

  /** A file that cannot be read is none where there is a service: what is fetched takes its place. @throws KmsError `bad-attestation-file` */
  const readFileOf = async (query: CollateralQuery): Promise<Collateral | undefined> => {
    try {
      return await readKept(pathOf(query))
    } catch (cause) {
      if (url === undefined) throw cause
      options.onNotKept(cause)
      return undefined
    }
  }

  const fetchNew = async (base: string, kind: Kind, query: CollateralQuery): Promise<Collateral | undefined> => {
    try {
      const given = await fetchCollateral(base, query)
      const problem = collateralProblem(given, query, root)
      if (problem !== undefined)
        throw attestError('collateral-unavailable', `the service gave no collateral: ${problem}`)
      const kept = kind.fetched ?? given
      const file = await readFileOf(query)
      kind.fetched = newestParts(file !== undefined && isSigned(file, query) ? newestParts(kept, file) : kept, given)
      kind.fetchedAtMs = clock.monotonicMs()
      kind.failures = 0
      kind.retryAtMs = kind.fetchedAtMs + MIN_RETRY_MS
      await write(query, kind.fetched)
      return kind.fetched
    } catch (cause) {
      kind.failures++
      kind.retryAtMs = clock.monotonicMs() + Math.min(MIN_RETRY_MS * 2 ** (kind.failures - 1), MAX_RETRY_MS)
      options.onNotFetched(query, cause)
      return undefined
    }
  }

  const write = async (query: CollateralQuery, collateral: Collateral): Promise<void> => {
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 })
      await replaceFile(pathOf(query), `${JSON.stringify(collateral, undefined, 2)}\n`)
    } catch (cause) {
      options.onNotKept(cause)
    }
  }

  /** What was fetched, and what lies in the directory. Where nothing was fetched, the verifier says whether that is signed. */
  const known = async ({ fetched }: Kind, query: CollateralQuery): Promise<Collateral | undefined> => {
    const file = await readFileOf(query)
    if (fetched === undefined || file === undefined) return fetched ?? file
    const isSame = JSON.stringify(file) === JSON.stringify(fetched)
    return isSame || !isSigned(file, query) ? fetched : newestParts(fetched, file)
  }

  const isDue = ({ fetchedAtMs }: Kind, kept: Collateral): boolean => {
    const leftMs = holdsUntil(kept) - clock.nowMs()
    if (fetchedAtMs === undefined || leftMs <= 0) return true
    const everyMs = options.refreshHours * HOUR_MS
    return clock.monotonicMs() - fetchedAtMs >= (leftMs < WEEK_MS ? Math.min(everyMs, HOUR_MS) : everyMs)
  }

  /** @returns undefined where the service is left alone for now */
  const ask = (base: string, kind: Kind, query: CollateralQuery): Promise<Collateral | undefined> | undefined => {
    if (kind.underWay !== undefined) return kind.underWay
    const underWay = [...kinds.values()].filter((other) => other.underWay !== undefined).length
    if (clock.monotonicMs() < kind.retryAtMs || underWay >= MAX_UNDER_WAY) return undefined
    kind.underWay = fetchNew(base, kind, query).finally(() => {
      delete kind.underWay
    })
    return kind.underWay
  }

  return {
    async get(query, signal) {
      const kind = kindOf(collateralFile(query))
      const kept = await known(kind, query)
      if (kept !== undefined && (url === undefined || !isDue(kind, kept))) return kept
      if (url === undefined)
        throw attestError('collateral-unavailable', `there is no ${collateralFile(query)} in the collateral directory`)
      const holds = kept !== undefined && holdsUntil(kept) > clock.nowMs()
      const limit = holds ? AbortSignal.any([signal, AbortSignal.timeout(maxWaitMs)]) : signal
      const newer = await outcomeUntil(ask(url, kind, query), limit)
      if (newer !== undefined) return newer
      if (kept !== undefined) return kept
      throw attestError('collateral-unavailable', `the service has no ${collateralFile(query)} now`)
    },
  }
}

/** @throws KmsError `bad-attestation-file` */
async function readKept(path: string): Promise<Collateral | undefined> {
  const bytes = await readBounded(path, MAX_FILE_BYTES).catch((cause: unknown) => {
    throw attestError('bad-attestation-file', `${path} cannot be read`, { cause })
  })
  if (bytes === undefined) return undefined
  const parsed = collateralSchema.safeParse(readable(() => JSON.parse(new TextDecoder().decode(bytes)) as unknown))
  if (!parsed.success) throw attestError('bad-attestation-file', `${path} holds no collateral`)
  return parsed.data
}
