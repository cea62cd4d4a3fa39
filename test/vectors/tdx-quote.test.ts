import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { fixedCollateral } from '../../packages/kms-node/src/attest/collateral.fixture.ts'
import type { Collateral } from '../../packages/kms-node/src/attest/collateral.ts'
import type { AllowedMeasurement } from '../../packages/kms-node/src/attest/measurements.ts'
import { parseQuote } from '../../packages/kms-node/src/attest/quote.ts'
import type { AttestationVerdict } from '../../packages/kms-node/src/attest/verdict.ts'
import { createQuoteVerifier } from '../../packages/kms-node/src/attest/verify-quote.ts'
import { describeVectors, readJson } from '../support/vectors.ts'
import { vectorFolder } from '../support/vectors-folder.ts'

/** Within the window of the collateral that was published with it. */
const OWN_DATE = '2025-06-20T12:00:00Z'

describeVectors('a real TDX quote with its collateral', () => {
  const quote = new Uint8Array(readFileSync(join(vectorFolder ?? '', 'tdx/tdx_quote')))
  const collateral = readJson<Collateral>('tdx/tdx_quote_collateral.json')
  const parsed = parseQuote(quote)
  const reportData = parsed?.reportData ?? new Uint8Array()
  const measurement = parsed?.measurement
  const allow: readonly AllowedMeasurement[] =
    measurement?.tee === 'tdx' ? [{ name: 'sample', mrTd: measurement.mrTd, rtmr1: measurement.rtmrs[1] }] : []

  const verdictOf = (given: {
    readonly at?: string
    readonly bytes?: Uint8Array
    readonly reportData?: Uint8Array
    readonly allow?: readonly AllowedMeasurement[]
    readonly collateral?: Collateral
  }): Promise<AttestationVerdict> =>
    createQuoteVerifier({
      collateral: fixedCollateral(given.collateral ?? collateral),
      allow: given.allow ?? allow,
      clock: { nowMs: () => (given.at === undefined ? Date.now() : Date.parse(given.at)) },
    }).verify(given.bytes ?? quote, {
      reportData: given.reportData ?? reportData,
      signal: new AbortController().signal,
    })

  it('verifies under the root of Intel at its own date, until its collateral runs out', async () => {
    expect(await verdictOf({ at: OWN_DATE })).toEqual({
      kind: 'accepted',
      tee: 'tdx',
      measurement: 'sample',
      tcbStatus: 'UpToDate',
      expiresMs: expect.any(Number) as unknown,
    })
    const verdict = await verdictOf({ at: OWN_DATE })
    const expiresMs = verdict.kind === 'accepted' ? verdict.expiresMs : 0
    const times = { last: new Date(expiresMs).toISOString(), over: new Date(expiresMs + 1000).toISOString() }
    expect(await verdictOf({ at: times.last })).toMatchObject({ kind: 'accepted' })
    expect(await verdictOf({ at: times.over })).toMatchObject({ reason: 'expired' })
  })

  it('is refused today', async () => {
    expect(await verdictOf({})).toMatchObject({ kind: 'refused', reason: 'expired' })
  })

  it('is refused with a byte changed anywhere in the report, the signatures and the keys', async () => {
    const end = Buffer.from(quote).indexOf('-----BEGIN')
    const places = [0, 2, 12, 48, 48 + 168, 48 + 519, 48 + 583, 640, 700, 780, 1100, 1200, end - 20]
    for (const at of places) {
      const bytes = quote.slice()
      bytes[at] = (bytes[at] ?? 0) ^ 0x01
      expect(await verdictOf({ at: OWN_DATE, bytes }), `byte ${at}`).toMatchObject({ kind: 'refused' })
    }
    const inReport = quote.slice()
    inReport[48 + 136] = (inReport[48 + 136] ?? 0) ^ 0x01
    expect(await verdictOf({ at: OWN_DATE, bytes: inReport })).toMatchObject({ reason: 'signature' })
  })

  it('is refused for other report data, and by an empty allow list', async () => {
    const other = reportData.map((value, at) => (at === 63 ? value ^ 1 : value))
    expect(await verdictOf({ at: OWN_DATE, reportData: other })).toMatchObject({ reason: 'report-data' })
    expect(await verdictOf({ at: OWN_DATE, allow: [] })).toMatchObject({ reason: 'measurement' })
  })

  it('is refused with collateral of which a word was changed', async () => {
    const changed = { ...collateral, tcb_info: collateral.tcb_info.replace('"pcesvn":11', '"pcesvn":10') }
    expect(await verdictOf({ at: OWN_DATE, collateral: changed })).toMatchObject({ reason: 'signature' })
  })
})
