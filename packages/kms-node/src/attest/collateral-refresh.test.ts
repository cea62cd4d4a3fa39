import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Collateral, CollateralQuery } from './collateral.ts'
import { asked, type CacheSetting, createCacheSetting, issued, query, until } from './collateral-cache.fixture.ts'
import { startTestPccs, type TestPccs } from './pccs.fixture.ts'

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

describe('a service that fails', () => {
  const failing = async (given: () => Collateral = () => issued(1)) => {
    const state = { fails: true }
    const pccs = await start(given, () => (state.fails ? { status: 500, body: '' } : undefined))
    return { state, pccs }
  }

  it('takes nothing away that holds, and is asked ever less often', { timeout: 60_000 }, async () => {
    const { state, pccs } = await failing()
    await setting.store(until(30))
    const source = setting.cache(pccs.url)
    const times: number[] = []
    for (let minute = 0; minute < 60; minute++) {
      const before = asked(pccs)
      for (let quote = 0; quote < 2; quote++) expect(await source.get(query, signal)).toEqual(until(30))
      if (asked(pccs) > before) times.push(minute)
      setting.time.monotonicMs += 60_000
    }
    expect(times).toEqual([0, 1, 3, 7, 15, 30, 45])
    expect(setting.notFetched).toHaveLength(times.length)
    state.fails = false
    expect(await source.get(query, signal)).toEqual(issued(1))
    state.fails = true
    setting.hours(25)
    await source.get(query, signal)
    setting.time.monotonicMs += 60_000
    const before = asked(pccs)
    await source.get(query, signal)
    expect(asked(pccs)).toBe(before + 1)
  })

  it('is not asked anew by every quote where nothing is known', async () => {
    const { state, pccs } = await failing()
    const source = setting.cache(pccs.url)
    for (let quote = 0; quote < 5; quote++)
      await expect(source.get(query, signal)).rejects.toMatchObject({ code: 'collateral-unavailable' })
    expect(asked(pccs)).toBe(1)
    state.fails = false
    await expect(source.get(query, signal)).rejects.toMatchObject({ code: 'collateral-unavailable' })
    setting.time.monotonicMs += 60_000
    expect(await source.get(query, signal)).toEqual(issued(1))
  })

  it('is not asked anew by every quote where it gives nothing that holds', async () => {
    const pccs = await start(() => until(-1))
    const source = setting.cache(pccs.url)
    for (let quote = 0; quote < 5; quote++) expect(await source.get(query, signal)).toEqual(until(-1))
    expect(asked(pccs)).toBe(1)
  })

  it('is asked once by all who wait, for each kind of platform by itself', async () => {
    const pccs = await start(() => issued(1))
    const source = setting.cache(pccs.url)
    const all = await Promise.all(Array.from({ length: 20 }, () => source.get(query, signal)))
    expect(new Set(all.map((one) => JSON.stringify(one))).size).toBe(1)
    expect(asked(pccs)).toBe(1)
    await expect(source.get({ ...query, ca: 'processor' }, signal)).rejects.toMatchObject({
      code: 'collateral-unavailable',
    })
    expect(asked(pccs)).toBe(2)
  })

  it('that is silent keeps nobody waiting who has something that holds, nor anybody who gives up', async () => {
    const pccs = await start(
      () => issued(1),
      () => 'silence',
    )
    await setting.store(until(30))
    const source = setting.cache(pccs.url, { maxWaitMs: 20 })
    expect(await source.get(query, signal)).toEqual(until(30))
    const gaveUp = source.get({ ...query, fmspc: '00a06f000001' }, AbortSignal.abort())
    await expect(gaveUp).rejects.toMatchObject({ code: 'collateral-unavailable' })
  })

  const kind = (at: number): CollateralQuery => ({ ...query, fmspc: at.toString(16).padStart(12, '0') })
  const unavailable = { code: 'collateral-unavailable' }

  it('is asked for eight kinds of platforms at once', async () => {
    const pccs = await start(
      () => issued(1),
      () => 'silence',
    )
    const source = setting.cache(pccs.url)
    const ended = new AbortController()
    const outcomes = Promise.allSettled(Array.from({ length: 8 }, (_, at) => source.get(kind(at), ended.signal)))
    await vi.waitFor(() => expect(asked(pccs)).toBe(8), { timeout: 10_000 })
    for (const at of [8, 9]) await expect(source.get(kind(at), signal)).rejects.toMatchObject(unavailable)
    expect(asked(pccs)).toBe(8)
    ended.abort()
    expect((await outcomes).every(({ status }) => status === 'rejected')).toBe(true)
  })

  it('is remembered to have failed for the sixty-four kinds that were needed last', async () => {
    const { pccs } = await failing()
    const source = setting.cache(pccs.url)
    for (let at = 0; at <= 64; at++) await expect(source.get(kind(at), signal)).rejects.toMatchObject(unavailable)
    expect(asked(pccs)).toBe(65)
    await expect(source.get(kind(1), signal)).rejects.toMatchObject(unavailable)
    expect(asked(pccs)).toBe(65)
    await expect(source.get(kind(0), signal)).rejects.toMatchObject(unavailable)
    expect(asked(pccs)).toBe(66)
  })
})
