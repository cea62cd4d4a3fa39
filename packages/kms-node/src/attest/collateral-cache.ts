import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { hexToBytes } from '@noble/hashes/utils.js'
import { isKmsError } from '../errors.ts'
import { readBounded, replaceFile } from '../files.ts'
import type { Clock } from '../ports.ts'
import { listEnd } from './certificates.ts'
import type { Collateral, CollateralQuery, CollateralSource } from './collateral.ts'
import { attestError } from './errors.ts'
import { fetchCollateral } from './pccs.ts'
import { readable } from './readable.ts'
import { parseSignedDates } from './signed-json.ts'

const MAX_FILE_BYTES = 4 * 1024 * 1024
/** What is kept is fetched anew when it holds for less than this. */
const RENEW_BEFORE_MS = 7 * 86_400_000
/** A service that failed, or gave what is no newer, is left alone for this long. */
const RETRY_MS = 60_000

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
  readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs'>
  /** A file could not be written: what was fetched is used all the same. */
  readonly onError: (cause: unknown) => void
}

/**
 * Collateral from a directory, and from a PCCS where what is kept runs out within a week. A silent service is no reason to refuse what
 * still holds; the verifier judges the times. Only what was verified is written down.
 */
export function createCollateralCache(options: CollateralCacheOptions): CollateralSource {
  const { directory, url, clock, onError } = options
  const askedAtMs = new Map<string, number>()

  const fetchNew = async (base: string, query: CollateralQuery, signal: AbortSignal): Promise<Collateral> => {
    askedAtMs.set(collateralFile(query), clock.monotonicMs())
    return fetchCollateral(base, query, signal)
  }

  return {
    async get(query, signal) {
      const kept = await readKept(join(directory, collateralFile(query)))
      const asked = askedAtMs.get(collateralFile(query))
      const isTooSoon = asked !== undefined && clock.monotonicMs() - asked < RETRY_MS
      if (kept !== undefined && (url === undefined || isTooSoon || holdsUntil(kept) - clock.nowMs() > RENEW_BEFORE_MS))
        return kept
      if (url === undefined)
        throw attestError('collateral-unavailable', `there is no ${collateralFile(query)} in the collateral directory`)
      try {
        return await fetchNew(url, query, signal)
      } catch (cause) {
        if (kept === undefined || !isKmsError(cause)) throw cause
        return kept
      }
    },
    async keep(query, collateral) {
      try {
        const path = join(directory, collateralFile(query))
        const bytes = `${JSON.stringify(collateral, undefined, 2)}\n`
        const kept = await readKept(path)
        if (kept !== undefined && holdsUntil(kept) >= holdsUntil(collateral)) return
        await mkdir(directory, { recursive: true, mode: 0o700 })
        await replaceFile(path, bytes)
      } catch (cause) {
        onError(cause)
      }
    },
  }
}

/** By the four pieces that Intel renews. Unix milliseconds; 0 where one is not readable. */
const holdsUntil = ({ tcb_info, qe_identity, root_ca_crl, pck_crl }: Collateral): number =>
  Math.min(
    ...[tcb_info, qe_identity].map((json) => parseSignedDates(json)?.nextUpdate ?? 0),
    ...[root_ca_crl, pck_crl].map((list) => listEnd(readable(() => hexToBytes(list)) ?? new Uint8Array(0))),
  )

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
