import type { X509Certificate } from 'node:crypto'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { EnclaveReport, TDReport10 } from '@phala/dcap-qvl'
import { Quote } from '@phala/dcap-qvl/src/quote.js'
import { getFmspc, getIntelExtension } from '@phala/dcap-qvl/src/utils.js'
import { commonNameOf, parseChain } from './certificates.ts'
import type { CollateralQuery } from './collateral.ts'
import { MAX_QUOTE_BYTES } from './quote-bytes.ts'
import { type QuoteSignatures, readSignatures } from './quote-signatures.ts'
import { readable } from './readable.ts'

const TD_DEBUG = 0x01
const ENCLAVE_DEBUG = 0x02
const PCK_AUTHORITY = /^Intel SGX PCK (Processor|Platform) CA$/

/** What a TD's report says ran there; hex of 48 bytes each. */
export interface TdMeasurement {
  readonly tee: 'tdx'
  readonly mrTd: string
  readonly rtmrs: readonly [string, string, string, string]
}

/** What an enclave's report says ran there; hex of 32 bytes. */
export interface EnclaveMeasurement {
  readonly tee: 'sgx'
  readonly mrEnclave: string
  readonly mrSigner: string
  readonly isvProdId: number
  readonly isvSvn: number
}

export type Measurement = TdMeasurement | EnclaveMeasurement

/** Which TDX module measured a TD. */
export interface TdxModule {
  /** Major version and TCB level, from TEE_TCB_SVN. */
  readonly version: number
  readonly isvSvn: number
  /** Hex, 48 and 8 bytes. */
  readonly mrSigner: string
  readonly attributes: string
}

/** A quote taken apart; nothing of it is verified. */
export interface ParsedQuote {
  readonly bytes: Uint8Array
  readonly measurement: Measurement
  /** 64 bytes. */
  readonly reportData: Uint8Array
  readonly isDebug: boolean
  /** Of TDX quotes only. */
  readonly module: TdxModule | undefined
  readonly signatures: QuoteSignatures
  /** The platform's certificate, its issuer and the root, as the quote carries them. */
  readonly pckChain: readonly X509Certificate[]
  /** 2 bytes in hex. */
  readonly pceId: string
  /** Names the collateral that is needed. */
  readonly query: CollateralQuery
}

/** DER of the OID 1.2.840.113741.1.13.1.3 and of the header of an OCTET STRING of 2 bytes, in hex. */
const PCE_ID = '060a2a864886f84d010d01030402'

/**
 * Takes a TDX quote of version 4 or 5, or an SGX quote of version 3, apart. Its certificates must be in it.
 * @returns undefined where it is none
 */
export const parseQuote = (bytes: Uint8Array): ParsedQuote | undefined =>
  bytes.length > MAX_QUOTE_BYTES ? undefined : readable(() => takeApart(bytes))

function takeApart(bytes: Uint8Array): ParsedQuote | undefined {
  const quote = Quote.parse(bytes)
  const pckChain = parseChain(new TextDecoder().decode(quote.rawCertChain()))
  const [pck, authority] = pckChain ?? []
  const ca = PCK_AUTHORITY.exec((authority && commonNameOf(authority)) ?? '')?.[1]
  const facts = reportFacts(quote)
  if (pckChain === undefined || pck === undefined || ca === undefined || facts === undefined) return undefined
  const extension: Uint8Array = Uint8Array.from(getIntelExtension(pck.raw))
  const fmspc = bytesToHex(getFmspc(Buffer.from(extension)))
  const query = { fmspc, ca: ca === 'Platform' ? 'platform' : 'processor', tee: facts.measurement.tee } as const
  const signatures = readSignatures(quote, bytes)
  return { bytes, signatures, pckChain, pceId: pceIdOf(extension), query, ...facts }
}

type ReportFacts = Pick<ParsedQuote, 'measurement' | 'reportData' | 'isDebug' | 'module'>

function reportFacts(quote: Quote): ReportFacts | undefined {
  const enclave = quote.report.asSgx()
  if (enclave !== null) return quote.header.isSgx() ? enclaveFacts(enclave) : undefined
  const td = quote.report.asTd10()
  return td === null || quote.header.isSgx() ? undefined : tdFacts(td)
}

const tdFacts = (td: TDReport10): ReportFacts => ({
  measurement: {
    tee: 'tdx',
    mrTd: bytesToHex(td.mrTd),
    rtmrs: [bytesToHex(td.rtMr0), bytesToHex(td.rtMr1), bytesToHex(td.rtMr2), bytesToHex(td.rtMr3)],
  },
  reportData: td.reportData,
  isDebug: ((td.tdAttributes[0] ?? TD_DEBUG) & TD_DEBUG) !== 0,
  module: {
    isvSvn: td.teeTcbSvn[0] ?? 0,
    version: td.teeTcbSvn[1] ?? 0,
    mrSigner: bytesToHex(td.mrSignerSeam),
    attributes: bytesToHex(td.seamAttributes),
  },
})

const enclaveFacts = (enclave: EnclaveReport): ReportFacts => ({
  measurement: {
    tee: 'sgx',
    mrEnclave: bytesToHex(enclave.mrEnclave),
    mrSigner: bytesToHex(enclave.mrSigner),
    isvProdId: enclave.isvProdId,
    isvSvn: enclave.isvSvn,
  },
  reportData: enclave.reportData,
  isDebug: ((enclave.attributes[0] ?? ENCLAVE_DEBUG) & ENCLAVE_DEBUG) !== 0,
  module: undefined,
})

function pceIdOf(extension: Uint8Array): string {
  const hex = bytesToHex(extension)
  const at = hex.indexOf(PCE_ID)
  return at < 0 ? '' : hex.slice(at + PCE_ID.length, at + PCE_ID.length + 4)
}
