import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { attestError } from './errors.ts'
import { fixedCollateral } from './collateral.fixture.ts'
import type { Collateral } from './collateral.ts'
import type { AllowedMeasurement } from './measurements.ts'
import { type CollateralWishes, MINTED_MR_TD, MINTED_RTMRS, mintChain } from './minted-chain.fixture.ts'
import { mintTdxQuote } from './simulated-quote.ts'
import type { TcbStatus } from './tcb.ts'
import type { AttestationVerdict } from './verdict.ts'
import { createQuoteVerifier } from './verify-quote.ts'

const NOW_MS = Date.parse('2026-03-01T12:00:00Z')
const DAY_MS = 86_400_000
const chain = mintChain(NOW_MS)
const wanted = new Uint8Array(64).fill(7)
const released: AllowedMeasurement = {
  name: 'released',
  mrTd: bytesToHex(MINTED_MR_TD),
  rtmr0: bytesToHex(MINTED_RTMRS[0] ?? new Uint8Array()),
  rtmr3: bytesToHex(MINTED_RTMRS[3] ?? new Uint8Array()),
}
const next: AllowedMeasurement = { name: 'next', mrTd: 'b2'.repeat(48) }

interface Case {
  readonly quote?: Uint8Array
  readonly collateral?: CollateralWishes | Collateral
  readonly allow?: readonly AllowedMeasurement[]
  readonly tcbStatuses?: readonly TcbStatus[]
  readonly reportData?: Uint8Array
  readonly root?: Uint8Array
  readonly nowMs?: number
}

const verdictOf = (given: Case = {}): Promise<AttestationVerdict> => {
  const { collateral = {} } = given
  const source = fixedCollateral('tcb_info' in collateral ? collateral : chain.collateral(collateral))
  const verifier = createQuoteVerifier({
    root: given.root ?? chain.root,
    collateral: source,
    allow: given.allow ?? [next, released],
    tcbStatuses: given.tcbStatuses,
    clock: { nowMs: () => given.nowMs ?? NOW_MS },
  })
  const signal = new AbortController().signal
  return verifier.verify(given.quote ?? chain.tdxQuote(wanted), { reportData: given.reportData ?? wanted, signal })
}
const refused = (reason: string, detail: RegExp = /./) => ({
  kind: 'refused',
  reason,
  detail: expect.stringMatching(detail) as unknown,
})

describe('a TDX quote', () => {
  it('is taken with the name of what runs, its TCB and the day its first proof runs out', async () => {
    const nextUpdateMs = NOW_MS + 9 * DAY_MS
    expect(await verdictOf({ collateral: { nextUpdateMs } })).toEqual({
      kind: 'accepted',
      tee: 'tdx',
      measurement: 'released',
      tcbStatus: 'UpToDate',
      expiresMs: nextUpdateMs,
    })
    const upgraded = chain.tdxQuote(wanted, { mrTd: hexToBytes('b2'.repeat(48)) })
    expect(await verdictOf({ quote: upgraded })).toMatchObject({ kind: 'accepted', measurement: 'next' })
  })

  it.each<[string, string, RegExp, Case]>([
    [
      'another MRTD',
      'measurement',
      /mrTd c3c3/,
      { quote: chain.tdxQuote(wanted, { mrTd: new Uint8Array(48).fill(0xc3) }) },
    ],
    [
      'another RTMR',
      'measurement',
      /rtmr3 0000/,
      { quote: chain.tdxQuote(wanted, { rtmrs: MINTED_RTMRS.slice(0, 3) }) },
    ],
    ['an empty allow list', 'measurement', /mrTd/, { allow: [] }],
    ['other report data', 'report-data', /made for another/, { reportData: new Uint8Array(64).fill(8) }],
    ['report data of another length', 'report-data', /./, { reportData: new Uint8Array(63).fill(7) }],
    ['old collateral', 'expired', /TCB info holds/, { collateral: { issuedMs: NOW_MS - 31 * DAY_MS } }],
    ['collateral from tomorrow', 'expired', /TCB info holds/, { collateral: { issuedMs: NOW_MS + DAY_MS } }],
    [
      'old certificates',
      'expired',
      /certificate of/,
      { nowMs: NOW_MS + 6 * 365 * DAY_MS, collateral: { nextUpdateMs: NOW_MS + 9999 * DAY_MS } },
    ],
    ['a revoked platform', 'revoked', /PCK Certificate/, { collateral: { revokePck: true } }],
    [
      'a debug TD',
      'debug',
      /debug mode/,
      { quote: chain.tdxQuote(wanted, { tdAttributes: hexToBytes('0100001000000000') }) },
    ],
    [
      'a TD without SEPT_VE_DISABLE',
      'debug',
      /SEPT_VE_DISABLE/,
      { quote: chain.tdxQuote(wanted, { tdAttributes: new Uint8Array(8) }) },
    ],
    ['an old TCB', 'tcb', /OutOfDate/, { collateral: { tcbStatus: 'OutOfDate' } }],
    ['an old TDX module', 'tcb', /OutOfDate/, { collateral: { moduleStatus: 'OutOfDate' } }],
    [
      'a TCB below all levels',
      'tcb',
      /No matching/,
      { quote: chain.tdxQuote(wanted, { teeTcbSvn: hexToBytes('04010200000000000000000000000000') }) },
    ],
    [
      'an unknown TDX module',
      'tcb',
      /version 02/,
      { quote: chain.tdxQuote(wanted, { teeTcbSvn: hexToBytes('05020200000000000000000000000000') }) },
    ],
    ['another root', 'signature', /lead to the root/, { root: mintChain(NOW_MS).root }],
    ['collateral of another root', 'signature', /lead to the root/, { collateral: mintChain(NOW_MS).collateral() }],
    ['collateral of SGX', 'collateral', /QE Identity/, { collateral: { tee: 'sgx' } }],
    ['no bytes', 'missing', /no quote/, { quote: new Uint8Array() }],
    ['bytes that are no quote', 'malformed', /not a quote/, { quote: new Uint8Array(600) }],
    ['more bytes than a quote has', 'malformed', /not a quote/, { quote: new Uint8Array(1_000_000) }],
    ['an SEV-SNP report', 'malformed', /sev-snp: unsupported/, { quote: new Uint8Array(1184) }],
  ])('with %s is refused as %s', async (_what, reason, detail, given) => {
    expect(await verdictOf(given)).toEqual(refused(reason, detail))
  })

  it('of a revoked TCB is refused whatever the policy takes; of an old one only where it is not taken', async () => {
    const tcbStatuses = ['UpToDate', 'OutOfDate', 'Revoked'] as const
    expect(await verdictOf({ tcbStatuses, collateral: { tcbStatus: 'Revoked' } })).toEqual(refused('tcb'))
    expect(await verdictOf({ tcbStatuses, collateral: { moduleStatus: 'Revoked' } })).toEqual(refused('tcb'))
    for (const wishes of [{ tcbStatus: 'OutOfDate' }, { moduleStatus: 'OutOfDate' }])
      expect(await verdictOf({ tcbStatuses, collateral: wishes })).toMatchObject({
        kind: 'accepted',
        tcbStatus: 'OutOfDate',
      })
  })

  it('with any byte changed up to the certificates is never taken', async () => {
    const quote = chain.tdxQuote(wanted)
    // The certificates are text, whose line ends carry nothing.
    const end = Buffer.from(quote).indexOf('-----BEGIN')
    for (let at = 0; at < end; at += 37) {
      const changed = quote.slice()
      changed[at] = (changed[at] ?? 0) ^ 0x40
      expect(await verdictOf({ quote: changed }), `byte ${at}`).toMatchObject({ kind: 'refused' })
    }
  })

  it('whose collateral was changed is refused by its signature', async () => {
    const good = chain.collateral()
    const forgeries: readonly Partial<Collateral>[] = [
      { tcb_info: good.tcb_info.replace('"UpToDate"', '"Outofdate"') },
      { qe_identity: good.qe_identity.replace('"isvprodid":2', '"isvprodid":3') },
      { tcb_info_signature: '00'.repeat(64) },
      { root_ca_crl: good.pck_crl },
      { pck_crl: good.root_ca_crl },
      { pck_crl: `${good.pck_crl.slice(0, -1)}${good.pck_crl.endsWith('0') ? '1' : '0'}` },
      { pck_crl: 'ff' },
      { tcb_info_issuer_chain: chain.platform.pckChain },
    ]
    for (const forged of forgeries)
      expect(await verdictOf({ collateral: { ...good, ...forged } })).toEqual(refused('signature'))
    expect(await verdictOf({ collateral: { ...good, tcb_info: '{' } })).toEqual(refused('collateral', /not readable/))
  })

  it.each([
    ['blanks where another reader takes line ends', (pem: string) => pem.replaceAll('\n', ' \t\n')],
    ['words between certificates', (pem: string) => pem.replaceAll('-----BEGIN', 'subject=x\n-----BEGIN')],
    [
      'a beginning before the beginning',
      (pem: string) => pem.replaceAll('-----BEGIN', '-----BEGIN CERTIFICATE-----\n-----BEGIN'),
    ],
    ['a certificate without end behind the last', (pem: string) => `${pem}${pem.slice(0, 200)}\0\0`],
    [
      'the first certificate in a way that only one of two readers takes',
      (pem: string) => pem.replace('-----BEGIN CERTIFICATE-----\n', '-----BEGIN CERTIFICATE-----\t\n'),
    ],
  ])(
    'is verified with the certificates that were checked, not with what another reader of PEM finds: %s',
    async (_what, change) => {
      const platform = { ...chain.platform, pckChain: change(chain.platform.pckChain) }
      const quote = mintTdxQuote(platform, { mrTd: MINTED_MR_TD, rtmrs: MINTED_RTMRS }, wanted)
      const good = chain.collateral()
      const collateral = {
        ...good,
        tcb_info_issuer_chain: change(good.tcb_info_issuer_chain),
        qe_identity_issuer_chain: change(good.qe_identity_issuer_chain),
      }
      expect(await verdictOf({ quote, collateral })).toMatchObject({ kind: 'accepted', measurement: 'released' })
    },
  )

  it.each([
    ['its platform twice', (certificates: readonly string[]) => [certificates[0], ...certificates]],
    ['no root', (certificates: readonly string[]) => certificates.slice(0, 2)],
    ['another order', (certificates: readonly string[]) => certificates.toReversed()],
    ['a stranger before it', (certificates: readonly string[]) => [mintChain(NOW_MS).rootPem, ...certificates]],
  ])('is refused whose certificates have %s', async (_what, change) => {
    const certificates = chain.platform.pckChain.split(/(?<=-----END CERTIFICATE-----\n)/)
    expect(certificates).toHaveLength(3)
    const platform = { ...chain.platform, pckChain: change(certificates).join('') }
    const quote = mintTdxQuote(platform, { mrTd: MINTED_MR_TD, rtmrs: MINTED_RTMRS }, wanted)
    expect(await verdictOf({ quote })).toMatchObject({ kind: 'refused' })
  })

  it('that is for something else, or of a machine in debug mode, is refused before anything is verified or fetched', async () => {
    const forged = mintChain(NOW_MS)
    const debug = forged.tdxQuote(wanted, { tdAttributes: hexToBytes('0100001000000000') })
    expect(await verdictOf({ quote: debug })).toEqual(refused('debug'))
    expect(await verdictOf({ quote: forged.tdxQuote(new Uint8Array(64)) })).toEqual(refused('report-data'))
    expect(await verdictOf({ quote: forged.tdxQuote(wanted) })).toEqual(refused('signature'))
  })

  it('makes nobody fetch anything before its platform is known to be genuine', async () => {
    let fetched = 0
    const collateral = {
      get: async () => {
        fetched++
        return chain.collateral()
      },
    }
    const check = { reportData: wanted, signal: new AbortController().signal }
    const clock = { nowMs: () => NOW_MS }
    const known = createQuoteVerifier({ root: chain.root, collateral, allow: [released], clock })
    expect(await known.verify(mintChain(NOW_MS).tdxQuote(wanted), check)).toEqual(refused('signature', /the root/))
    const genuine = chain.tdxQuote(wanted)
    // Header, signature, attestation key, report of the quoting enclave, its signature: of a version 4 quote.
    for (const at of [30, 640, 710, 780, 1160]) {
      const changed = genuine.with(at, (genuine[at] ?? 0) ^ 1)
      expect(await known.verify(changed, check)).toEqual(refused('signature', /not signed by its platform/))
    }
    expect(fetched).toBe(0)
    expect(await known.verify(chain.tdxQuote(wanted), check)).toMatchObject({ kind: 'accepted' })
    expect(fetched).toBe(1)
  })

  it('is refused where no collateral is to be had', async () => {
    const collateral = {
      get: () => Promise.reject(attestError('collateral-unavailable', 'nobody answers')),
    }
    const verifier = createQuoteVerifier({
      root: chain.root,
      collateral,
      allow: [released],
      clock: { nowMs: () => NOW_MS },
    })
    const check = { reportData: wanted, signal: new AbortController().signal }
    expect(await verifier.verify(chain.tdxQuote(wanted), check)).toEqual(refused('collateral', /nobody answers/))
    expect(await verifier.verify(undefined, check)).toEqual(refused('missing'))
  })
})

describe('an SGX quote', () => {
  const collateral = { tee: 'sgx' } as const
  const quote = chain.sgxQuote(wanted)

  it('is taken by its enclave, or by its signer, product and version', async () => {
    const byEnclave: AllowedMeasurement = { name: 'enclave', mrEnclave: 'e1'.repeat(32) }
    const bySigner: AllowedMeasurement = { name: 'signer', mrSigner: 'e2'.repeat(32), isvProdId: 7, isvSvn: 3 }
    for (const entry of [byEnclave, bySigner])
      expect(await verdictOf({ quote, collateral, allow: [entry] })).toMatchObject({
        kind: 'accepted',
        tee: 'sgx',
        measurement: entry.name,
      })
    const others: readonly AllowedMeasurement[] = [
      { ...bySigner, isvSvn: 4 },
      { ...bySigner, isvProdId: 8 },
      { ...bySigner, mrSigner: 'e1'.repeat(32) },
      { ...byEnclave, mrEnclave: 'e2'.repeat(32) },
      released,
    ]
    expect(await verdictOf({ quote, collateral, allow: others })).toEqual(refused('measurement', /mrEnclave e1e1/))
  })

  it('of a debug enclave is refused', async () => {
    const attributes = hexToBytes('07000000000000000000000000000000')
    const debug = chain.sgxQuote(wanted, { attributes })
    const allow: readonly AllowedMeasurement[] = [{ name: 'enclave', mrEnclave: 'e1'.repeat(32) }]
    expect(await verdictOf({ quote: debug, collateral, allow })).toEqual(refused('debug'))
  })
})
