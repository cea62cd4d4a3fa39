import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Collateral, CollateralQuery, CollateralSource } from './collateral.ts'
import { collateralFile, createCollateralCache } from './collateral-cache.ts'
import { type CollateralWishes, mintChain } from './minted-chain.fixture.ts'
import type { TestPccs } from './pccs.fixture.ts'

export const NOW_MS: number = Date.parse('2026-03-01T12:00:00Z')
export const HOUR_MS = 3_600_000
export const DAY_MS: number = 24 * HOUR_MS
export const chain = mintChain(NOW_MS)
export const query: CollateralQuery = { fmspc: chain.fmspc, ca: 'platform', tee: 'tdx' }

const minted = new Map<string, Collateral>()
/** The same each time, for signatures of ECDSA are not. */
function made(wishes: CollateralWishes): Collateral {
  const name = JSON.stringify(wishes)
  const collateral = minted.get(name) ?? chain.collateral(wishes)
  minted.set(name, collateral)
  return collateral
}
/** Holds for so many days from now; issued an hour ago. */
export const until = (days: number): Collateral => made({ nextUpdateMs: NOW_MS + days * DAY_MS })
/** Issued so many hours before or after now; holds for 30 days from now. */
export const issued = (hours: number, wishes: CollateralWishes = {}): Collateral =>
  made({ issuedMs: NOW_MS + hours * HOUR_MS, nextUpdateMs: NOW_MS + 30 * DAY_MS, ...wishes })
/** One with these members of the other. */
export const mixed = (one: Collateral, other: Collateral, members: readonly (keyof Collateral)[]): Collateral => ({
  ...one,
  ...Object.fromEntries(members.map((member) => [member, other[member]])),
})
/** Of the same manufacturer. */
export const SIBLING = { fmspc: '00a06f000001', root: chain.rootCertificate }
/** What Intel renews, and where it stands. */
export const PARTS: readonly (readonly [string, readonly (keyof Collateral)[]])[] = [
  ['revocation list of the root', ['root_ca_crl']],
  ['revocation list of the authority', ['pck_crl', 'pck_crl_issuer_chain']],
  ['TCB info', ['tcb_info', 'tcb_info_signature', 'tcb_info_issuer_chain']],
  ['QE identity', ['qe_identity', 'qe_identity_signature', 'qe_identity_issuer_chain']],
]

/** How often a service was asked for all of it. */
export const asked = ({ requests }: TestPccs): number => requests.filter((path) => path.includes('/rootcacrl')).length

/** A directory of its own, and a time that a test moves. */
export interface CacheSetting {
  readonly directory: string
  readonly time: { nowMs: number; monotonicMs: number }
  readonly errors: unknown[]
  /** "fmspc: why" */
  readonly notFetched: string[]
  cache(url?: string, options?: { directory?: string; refreshHours?: number; maxWaitMs?: number }): CollateralSource
  hours(count: number): void
  /** What lies in the directory. */
  kept(): Promise<unknown>
  store(collateral: Collateral | string): Promise<void>
  remove(): Promise<void>
}

export async function createCacheSetting(): Promise<CacheSetting> {
  const directory = await mkdtemp(join(tmpdir(), 'tkms-collateral-'))
  const path = join(directory, collateralFile(query))
  const time = { nowMs: NOW_MS, monotonicMs: 0 }
  const errors: unknown[] = []
  const notFetched: string[] = []
  return {
    directory,
    time,
    errors,
    notFetched,
    cache: (url, options = {}) =>
      createCollateralCache({
        directory,
        url,
        refreshHours: 24,
        root: chain.root,
        clock: { nowMs: () => time.nowMs, monotonicMs: () => time.monotonicMs },
        maxWaitMs: 10_000,
        onNotFetched: ({ fmspc }, cause) => notFetched.push(`${fmspc}: ${(cause as Error).message}`),
        onNotKept: (cause) => errors.push(cause),
        ...options,
      }),
    hours: (count) => {
      time.nowMs += count * HOUR_MS
      time.monotonicMs += count * HOUR_MS
    },
    kept: async () => JSON.parse(await readFile(path, 'utf8')) as unknown,
    store: (collateral) => writeFile(path, typeof collateral === 'string' ? collateral : JSON.stringify(collateral)),
    remove: () => rm(directory, { recursive: true }),
  }
}
