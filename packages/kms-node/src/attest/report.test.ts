import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import type { ClusterId } from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import type { KeyDirectory } from '../keys/key-directory.ts'
import type { Attester } from '../ports.ts'
import { nodeSigner } from '../serve/pipeline.fixture.ts'
import { fixedCollateral } from './collateral.fixture.ts'
import { checkReport } from './check-report.ts'
import { attestError } from './errors.ts'
import { MINTED_MR_TD, mintChain } from './minted-chain.fixture.ts'
import { certificatesHash } from './report-data.ts'
import { createReport } from './report.ts'
import { createQuoteVerifier } from './verify-quote.ts'

const clusterId = new Uint8Array(32).fill(1) as ClusterId
const identity = nodeSigner.publicKey
const nonce = new Uint8Array(32).fill(3)
const { signal } = new AbortController()
const held = [{ keyId: `0x${'04'.repeat(32)}`, certificate: '0x0506' }]
const keys = { list: () => held } as unknown as Pick<KeyDirectory, 'list'>
const chain = mintChain()
const simulated: Attester = { provider: 'simulated', quote: async (data) => chain.tdxQuote(data) }
const errors: unknown[] = []
const reportBy = (attester: Attester) =>
  createReport({ attester, clusterId, identity, keys, log: { error: (entry: unknown) => void errors.push(entry) } })

describe('what a node proves', () => {
  const verifier = createQuoteVerifier({
    root: chain.root,
    collateral: fixedCollateral(chain.collateral()),
    allow: [{ name: 'released', mrTd: bytesToHex(MINTED_MR_TD) }],
    clock: { nowMs: () => Date.now() },
  })

  it('is bound to cluster, identity, certificates and the nonce that was given', async () => {
    const report = await reportBy(simulated)(nonce, signal)
    const held32 = certificatesHash([{ keyId: hexToBytes('04'.repeat(32)), certificate: hexToBytes('0506') }])
    expect(report).toMatchObject({
      provider: 'simulated',
      clusterId: `0x${bytesToHex(clusterId)}`,
      ed25519: `0x${bytesToHex(identity)}`,
      nonce: `0x${bytesToHex(nonce)}`,
      certificatesHash: `0x${bytesToHex(held32)}`,
    })
    const asked = { clusterId, identity, nonce }
    expect((await checkReport(verifier, report, asked, signal)).verdict).toMatchObject({ kind: 'accepted' })
    const other = new Uint8Array(32).fill(9)
    const others = [{ clusterId: other }, { identity: other }, { nonce: other }]
    for (const changed of others) {
      const { verdict } = await checkReport(verifier, report, { ...asked, ...changed }, signal)
      expect(verdict).toMatchObject({ reason: 'report-data' })
    }
    const lied = { ...(report as object), certificatesHash: `0x${'00'.repeat(32)}` }
    expect((await checkReport(verifier, lied, asked, signal)).verdict).toMatchObject({ reason: 'report-data' })
    for (const answer of [undefined, 'no-attestation', {}, { ...(report as object), quote: '0x' }])
      expect((await checkReport(verifier, answer, asked, signal)).verdict).toMatchObject({ reason: 'malformed' })
  })

  it('is nothing without a provider, and says so where the platform fails, with the cause in the log alone', async () => {
    const none: Attester = { provider: 'none', quote: async () => undefined }
    expect(await reportBy(none)(nonce, signal)).toBe('no-attestation')
    const cause = attestError('attestation-unavailable', 'the device is gone')
    const failing: Attester = { provider: 'tdx', quote: () => Promise.reject(cause) }
    expect(await reportBy(failing)(nonce, signal)).toBe('attestation-unavailable')
    expect(errors).toEqual([{ cause, provider: 'tdx' }])
    for (const quote of [undefined, new Uint8Array(), new Uint8Array(100_000)])
      expect(await reportBy({ provider: 'tdx', quote: async () => quote })(nonce, signal)).toBe(
        'attestation-unavailable',
      )
  })

  it('is asked for by eight callers at a time', async () => {
    const { promise, resolve } = Promise.withResolvers<Uint8Array>()
    const report = reportBy({ provider: 'tdx', quote: () => promise })
    const asked = Array.from({ length: 9 }, () => report(nonce, signal))
    expect(await asked[8]).toBe('busy')
    resolve(Uint8Array.of(1))
    expect(await Promise.all(asked.slice(0, 8))).toMatchObject(Array.from({ length: 8 }, () => ({ quote: '0x01' })))
    expect(await report(nonce, signal)).toMatchObject({ quote: '0x01' })
  })
})
