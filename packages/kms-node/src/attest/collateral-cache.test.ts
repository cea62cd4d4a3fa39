import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import type { Collateral, CollateralQuery, CollateralSource } from './collateral.ts'
import { collateralFile, createCollateralCache } from './collateral-cache.ts'
import { MINTED_MR_TD, mintChain } from './minted-chain.fixture.ts'
import { startTestPccs, type TestPccs } from './pccs.fixture.ts'
import { fetchCollateral } from './pccs.ts'
import { createQuoteVerifier } from './verify-quote.ts'

const NOW_MS = Date.parse('2026-03-01T12:00:00Z')
const DAY_MS = 86_400_000
const chain = mintChain(NOW_MS)
const query: CollateralQuery = { fmspc: chain.fmspc, ca: 'platform', tee: 'tdx' }
const { signal } = new AbortController()

let directory: string
const errors: unknown[] = []
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-collateral-'))
  errors.length = 0
})
afterEach(() => rm(directory, { recursive: true }))

const time = { nowMs: NOW_MS, monotonicMs: 0 }
const clock = { nowMs: () => time.nowMs, monotonicMs: () => time.monotonicMs }
const cache = (url?: string, at = directory): CollateralSource =>
  createCollateralCache({ directory: at, url, clock, onError: (cause) => errors.push(cause) })

async function start(...args: Parameters<typeof startTestPccs>): Promise<TestPccs> {
  const pccs = await startTestPccs(...args)
  onTestFinished(() => pccs.close())
  return pccs
}
const minted = new Map<number, Collateral>()
/** Holds for so many days; the same each time, for signatures of ECDSA are not. */
function until(days: number): Collateral {
  const collateral = minted.get(days) ?? chain.collateral({ nextUpdateMs: NOW_MS + days * DAY_MS })
  minted.set(days, collateral)
  return collateral
}
const store = (collateral: Collateral | string): Promise<void> =>
  writeFile(
    join(directory, collateralFile(query)),
    typeof collateral === 'string' ? collateral : JSON.stringify(collateral),
  )

describe('a caching service', () => {
  it('is asked for the four parts, which come out as they were signed', async () => {
    const known = chain.collateral()
    const pccs = await start(() => known)
    expect(await fetchCollateral(`${pccs.url}/`, query, signal)).toEqual(known)
    expect(pccs.requests.toSorted()).toEqual([
      '/sgx/certification/v4/pckcrl?ca=platform&encoding=der',
      '/sgx/certification/v4/rootcacrl',
      '/tdx/certification/v4/qe/identity?update=standard',
      '/tdx/certification/v4/tcb?fmspc=B0C06F000000',
    ])
  })

  it.each<[string, NonNullable<Parameters<typeof startTestPccs>[1]>]>([
    ['an error', () => ({ status: 500, body: '' })],
    ['another place', () => ({ status: 302, body: '', headers: { location: 'http://127.0.0.1:1/' } })],
    ['more than it may', (path) => (path.includes('tcb?') ? { body: new Uint8Array(1024 * 1024 + 1) } : undefined)],
    ['no certificates', (path) => (path.includes('pckcrl') ? { body: 'aa' } : undefined)],
    ['no signature', (path) => (path.includes('tcb?') ? { body: '{"tcbInfo":{}}' } : undefined)],
    ['no JSON', (path) => (path.includes('identity') ? { body: '<html>' } : undefined)],
  ])('that answers with %s is not believed', async (_what, change) => {
    const pccs = await start(() => chain.collateral(), change)
    await expect(fetchCollateral(pccs.url, query, signal)).rejects.toMatchObject({ code: 'collateral-unavailable' })
  })

  it('that is silent is not waited for', async () => {
    const pccs = await start(
      () => chain.collateral(),
      () => 'silence',
    )
    await expect(fetchCollateral(pccs.url, query, signal, 20)).rejects.toMatchObject({ code: 'collateral-unavailable' })
  })
})

describe('the collateral directory', () => {
  it('without a service gives what an operator put there, and nothing else', async () => {
    await expect(cache().get(query, signal)).rejects.toMatchObject({ code: 'collateral-unavailable' })
    await store(until(1))
    expect(await cache().get(query, signal)).toEqual(until(1))
    await expect(cache().get({ ...query, tee: 'sgx' }, signal)).rejects.toMatchObject({
      code: 'collateral-unavailable',
    })
  })

  it.each(['{', '{}', JSON.stringify({ ...until(1), tcb_info: 5 })])('refuses %s', async (text) => {
    await store(text)
    await expect(cache().get(query, signal)).rejects.toMatchObject({ code: 'bad-attestation-file' })
  })

  it('is enough while it holds for more than a week; then the service is asked', async () => {
    const pccs = await start(() => until(30))
    await store(until(8))
    expect(await cache(pccs.url).get(query, signal)).toEqual(until(8))
    expect(pccs.requests).toEqual([])
    await store(until(6))
    expect(await cache(pccs.url).get(query, signal)).toEqual(until(30))
  })

  it.each(['pck_crl', 'root_ca_crl', 'tcb_info', 'qe_identity'] as const)(
    'holds no longer than its %s',
    async (part) => {
      const pccs = await start(() => until(30))
      const mixed = { ...until(30), [part]: until(6)[part] }
      await store(mixed)
      expect(await cache(pccs.url).get(query, signal)).toEqual(until(30))
      await cache().keep(query, until(20))
      expect(await cache().get(query, signal)).toEqual(until(20))
    },
  )

  it('stands in for a silent service, which is asked again after a minute only', async () => {
    let fails = true
    const pccs = await start(
      () => until(30),
      () => (fails ? { status: 500, body: '' } : undefined),
    )
    const source = cache(pccs.url)
    await expect(source.get(query, signal)).rejects.toMatchObject({ code: 'collateral-unavailable' })
    await store(until(1))
    const asked = pccs.requests.length
    expect(await source.get(query, signal)).toEqual(until(1))
    expect(pccs.requests).toHaveLength(asked)
    fails = false
    time.monotonicMs += 60_000
    expect(await source.get(query, signal)).toEqual(until(30))
  })

  it('keeps what is newer, and tells when it cannot', async () => {
    const made = join(directory, 'made')
    await cache(undefined, made).keep(query, until(5))
    await cache(undefined, made).keep(query, until(3))
    expect(await cache(undefined, made).get(query, signal)).toEqual(until(5))
    expect(await readdir(made)).toEqual([collateralFile(query)])
    expect(errors).toEqual([])
    await cache(undefined, join(made, collateralFile(query))).keep(query, until(6))
    expect(errors).toHaveLength(1)
  })

  it('keeps what a quote was verified with, but not what was forged', async () => {
    const forged = { ...until(30), tcb_info: until(30).tcb_info.replace('UpToDate', 'uptodate') }
    let given: Collateral = forged
    const pccs = await start(() => given)
    const verifier = createQuoteVerifier({
      root: chain.root,
      collateral: cache(pccs.url),
      allow: [{ name: 'released', mrTd: Buffer.from(MINTED_MR_TD).toString('hex') }],
      clock,
    })
    const reportData = new Uint8Array(64)
    const quote = chain.tdxQuote(reportData)
    expect(await verifier.verify(quote, { reportData, signal })).toMatchObject({ reason: 'signature' })
    expect(await readdir(directory)).toEqual([])
    given = until(30)
    expect(await verifier.verify(quote, { reportData, signal })).toMatchObject({ kind: 'accepted' })
    expect(JSON.parse(await readFile(join(directory, collateralFile(query)), 'utf8'))).toEqual(given)
  })
})
