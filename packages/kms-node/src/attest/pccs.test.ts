import { describe, expect, it, onTestFinished } from 'vitest'
import type { CollateralQuery } from './collateral.ts'
import { mintChain } from './minted-chain.fixture.ts'
import { startTestPccs, type TestPccs } from './pccs.fixture.ts'
import { fetchCollateral } from './pccs.ts'

const chain = mintChain(Date.parse('2026-03-01T12:00:00Z'))
const query: CollateralQuery = { fmspc: chain.fmspc, ca: 'platform', tee: 'tdx' }

async function start(...args: Parameters<typeof startTestPccs>): Promise<TestPccs> {
  const pccs = await startTestPccs(...args)
  onTestFinished(() => pccs.close())
  return pccs
}

describe('a caching service', () => {
  it('is asked for the four parts, which come out as they were signed', async () => {
    const known = chain.collateral()
    const pccs = await start(() => known)
    expect(await fetchCollateral(`${pccs.url}/`, query)).toEqual(known)
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
    await expect(fetchCollateral(pccs.url, query)).rejects.toMatchObject({ code: 'collateral-unavailable' })
  })

  it('that is silent is not waited for', async () => {
    const pccs = await start(
      () => chain.collateral(),
      () => 'silence',
    )
    await expect(fetchCollateral(pccs.url, query, 20)).rejects.toMatchObject({ code: 'collateral-unavailable' })
  })
})
