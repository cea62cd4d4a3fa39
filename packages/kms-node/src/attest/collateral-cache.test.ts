import { readdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import type { Collateral } from './collateral.ts'
import { collateralFile } from './collateral-cache.ts'
import {
  asked,
  type CacheSetting,
  chain,
  createCacheSetting,
  issued,
  mixed,
  NOW_MS,
  PARTS,
  query,
  SIBLING,
  until,
} from './collateral-cache.fixture.ts'
import { startTestPccs, type TestPccs } from './pccs.fixture.ts'
import { MINTED_MR_TD, mintChain } from './minted-chain.fixture.ts'
import { createQuoteVerifier } from './verify-quote.ts'

const { signal } = new AbortController()

let setting: CacheSetting
beforeEach(async () => {
  setting = await createCacheSetting()
})
afterEach(() => setting.remove())

async function start(...args: Parameters<typeof startTestPccs>): Promise<TestPccs> {
  const pccs = await startTestPccs(...args)
  onTestFinished(() => pccs.close())
  return pccs
}

describe('the collateral setting.directory', () => {
  it('without a service gives what an operator put there, and nothing else', async () => {
    await expect(setting.cache().get(query, signal)).rejects.toMatchObject({ code: 'collateral-unavailable' })
    await setting.store(until(1))
    expect(await setting.cache().get(query, signal)).toEqual(until(1))
    await expect(setting.cache().get({ ...query, tee: 'sgx' }, signal)).rejects.toMatchObject({
      code: 'collateral-unavailable',
    })
  })

  it.each(['{', '{}', JSON.stringify({ ...until(1), tcb_info: 5 })])('refuses %s', async (text) => {
    await setting.store(text)
    await expect(setting.cache().get(query, signal)).rejects.toMatchObject({ code: 'bad-attestation-file' })
  })

  it('without a service stays as it is, an older file as well', async () => {
    await setting.store(issued(0))
    const source = setting.cache()
    expect(await source.get(query, signal)).toEqual(issued(0))
    await setting.store(issued(-2))
    expect(await source.get(query, signal)).toEqual(issued(-2))
  })
})

describe('what is kept', () => {
  it('gives way to what a service has when it cannot be read', async () => {
    const pccs = await start(() => issued(1))
    await setting.store('{')
    const source = setting.cache(pccs.url)
    expect(await source.get(query, signal)).toEqual(issued(1))
    expect(await setting.cache().get(query, signal)).toEqual(issued(1))
    await setting.store('{')
    expect(await source.get(query, signal)).toEqual(issued(1))
  })

  it('is renewed at the first use and every day, however long it holds', async () => {
    let given = issued(1)
    const pccs = await start(() => given)
    await setting.store(issued(0))
    const source = setting.cache(pccs.url)
    expect(await source.get(query, signal)).toEqual(issued(1))
    given = issued(2, { revokePck: true })
    setting.hours(23.9)
    expect(await source.get(query, signal)).toEqual(issued(1))
    expect(asked(pccs)).toBe(1)
    setting.hours(0.2)
    expect(await source.get(query, signal)).toEqual(given)
    expect(await setting.kept()).toEqual(given)
    expect(asked(pccs)).toBe(2)
  })

  it('is renewed as often as the settings say, and every hour in its last week', async () => {
    const pccs = await start(() => until(9))
    const source = setting.cache(pccs.url, { refreshHours: 2 })
    await source.get(query, signal)
    setting.hours(1.9)
    await source.get(query, signal)
    expect(asked(pccs)).toBe(1)
    setting.hours(0.2)
    await source.get(query, signal)
    expect(asked(pccs)).toBe(2)
    setting.hours(48)
    await source.get(query, signal)
    setting.hours(1.1)
    await source.get(query, signal)
    expect(asked(pccs)).toBe(4)
  })

  it.each(PARTS)('never goes back to an older %s', async (_what, members) => {
    let given = issued(1)
    const pccs = await start(() => given)
    const source = setting.cache(pccs.url)
    await source.get(query, signal)
    given = mixed(issued(2), issued(0), members)
    setting.hours(25)
    const expected = mixed(issued(2), issued(1), members)
    expect(await source.get(query, signal)).toEqual(expected)
    expect(await setting.cache().get(query, signal)).toEqual(expected)
    await setting.store(issued(0))
    expect(await source.get(query, signal)).toEqual(expected)
  })

  it('goes by the number of a list before its time', async () => {
    let given = issued(1, { crlNumber: 300, revokePck: true })
    const pccs = await start(() => given)
    const source = setting.cache(pccs.url)
    await source.get(query, signal)
    given = issued(2, { crlNumber: 299 })
    setting.hours(25)
    const { root_ca_crl, pck_crl } = issued(1, { crlNumber: 300, revokePck: true })
    expect(await source.get(query, signal)).toEqual({ ...given, root_ca_crl, pck_crl })
    given = issued(1, { crlNumber: 301 })
    setting.hours(25)
    expect(await source.get(query, signal)).toMatchObject({ pck_crl: given.pck_crl })
  })

  it.each<[string, () => Collateral, RegExp]>([
    [
      'signed by nobody',
      () => ({ ...issued(2), tcb_info: issued(2).tcb_info.replace('UpToDate', 'uptodate') }),
      /signed/,
    ],
    ['a list of nobody', () => ({ ...issued(2), pck_crl: issued(2).root_ca_crl }), /signed by its issuer/],
    ['of another root', () => mintChain(NOW_MS).collateral(), /do not lead to the root/],
    ['of another kind of machine', () => mintChain(NOW_MS, SIBLING).collateral(), /another kind of platform/],
    ['for enclaves', () => issued(2, { tee: 'sgx' }), /another kind of platform/],
  ])('stands against what is %s', async (_what, wrong, problem) => {
    let given = issued(1)
    const pccs = await start(() => given)
    const source = setting.cache(pccs.url)
    await source.get(query, signal)
    given = wrong()
    setting.hours(25)
    expect(await source.get(query, signal)).toEqual(issued(1))
    expect(await setting.kept()).toEqual(issued(1))
    expect(setting.notFetched).toEqual([expect.stringMatching(problem)])
    await expect(
      setting.cache(pccs.url, { directory: join(setting.directory, 'none') }).get(query, signal),
    ).rejects.toMatchObject({
      code: 'collateral-unavailable',
    })
  })

  it('gives way to what is signed where an operator put something that is not', async () => {
    const pccs = await start(() => issued(0))
    const forged = { ...issued(2), tcb_info: issued(2).tcb_info.replace('UpToDate', 'uptodate') }
    await setting.store(forged)
    const source = setting.cache(pccs.url)
    expect(await source.get(query, signal)).toEqual(issued(0))
    await setting.store(forged)
    expect(await source.get(query, signal)).toEqual(issued(0))
    await setting.store(issued(3))
    expect(await source.get(query, signal)).toEqual(issued(3))
  })

  it('is used where it cannot be written, and that is told', async () => {
    const pccs = await start(() => issued(1))
    const fresh = join(setting.directory, 'fresh')
    await setting.cache(pccs.url, { directory: fresh }).get(query, signal)
    expect(await readdir(fresh)).toEqual([collateralFile(query)])
    expect(setting.errors).toEqual([])
    await symlink(join(setting.directory, 'gone', 'away'), join(setting.directory, 'link'))
    const source = setting.cache(pccs.url, { directory: join(setting.directory, 'link') })
    for (let quote = 0; quote < 3; quote++) expect(await source.get(query, signal)).toEqual(issued(1))
    expect(setting.errors).toHaveLength(1)
    expect(asked(pccs)).toBe(2)
  })

  it('is signed before it is used: what is forged says nothing of a quote', async () => {
    let given = { ...issued(0), tcb_info: issued(0).tcb_info.replace('UpToDate', 'uptodate') }
    const pccs = await start(() => given)
    const verifier = createQuoteVerifier({
      root: chain.root,
      collateral: setting.cache(pccs.url),
      allow: [{ name: 'released', mrTd: Buffer.from(MINTED_MR_TD).toString('hex') }],
      clock: { nowMs: () => setting.time.nowMs },
    })
    const reportData = new Uint8Array(64)
    const quote = chain.tdxQuote(reportData)
    expect(await verifier.verify(quote, { reportData, signal })).toMatchObject({ reason: 'collateral' })
    expect(await readdir(setting.directory)).toEqual([])
    given = issued(-1)
    setting.time.monotonicMs += 60_000
    expect(await verifier.verify(quote, { reportData, signal })).toMatchObject({ kind: 'accepted' })
    expect(await setting.kept()).toEqual(given)
  })
})
