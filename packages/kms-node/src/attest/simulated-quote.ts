import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { REPORT_DATA_BYTES } from './report-data.ts'

/** A machine that exists in a file only. Its quotes verify under the root of its certificates and no other. */
export interface SimulatedPlatform {
  /** P-256, of the first certificate: signs the quoting enclave's report. */
  readonly pckKey: KeyObject
  /** PEM: the platform's certificate, its issuer, the root. */
  readonly pckChain: string
  /** What the quoting enclave says of itself; the QE identity of the collateral must agree. */
  readonly quotingEnclave: { readonly mrSigner: Uint8Array; readonly isvProdId: number; readonly isvSvn: number }
}

/** Fields of a TD's report; what is left out is zeros. Sizes in bytes. */
export interface TdFields {
  /** 48. */
  readonly mrTd: Uint8Array
  /** Up to four of 48. */
  readonly rtmrs?: readonly Uint8Array[]
  /** 16: TDX module, its major version, and microcode. */
  readonly teeTcbSvn?: Uint8Array
  /** 8; default: SEPT_VE_DISABLE alone, as production TDs have it. */
  readonly tdAttributes?: Uint8Array
}

/** Fields of an enclave's report. Sizes in bytes. */
export interface EnclaveFields {
  /** 32. */
  readonly mrEnclave: Uint8Array
  /** 32. */
  readonly mrSigner: Uint8Array
  readonly isvProdId: number
  readonly isvSvn: number
  /** 16; default: INIT and MODE64BIT. */
  readonly attributes?: Uint8Array
}

const INTEL_VENDOR_ID = hexToBytes('939a7233f79c4ca9940a0db3957f0607')
const ATTESTATION_KEY_P256 = 2
const TEE_TDX = 0x81
const PCK_CHAIN = 5
const QE_REPORT = 6
const MEASUREMENT_BYTES = 48

/** SEPT_VE_DISABLE, bit 28. */
const PRODUCTION_TD = hexToBytes('0000001000000000')
const PRODUCTION_ENCLAVE = hexToBytes('05000000000000000000000000000000')
const QE_ATTRIBUTES = hexToBytes('11000000000000000000000000000000')
export const DEFAULT_TEE_TCB_SVN: Uint8Array = hexToBytes('05010200000000000000000000000000')

const zeros = (length: number): Uint8Array => new Uint8Array(length)
const u16le = (value: number): Uint8Array => Uint8Array.of(value & 0xff, value >> 8)
const u32le = (value: number): Uint8Array => concatBytes(u16le(value & 0xffff), u16le(value >>> 16))

/** A TDX quote of version 4, laid out as in Intel's "TDX DCAP Quoting Library API", appendix 3. @param reportData 64 bytes */
export function mintTdxQuote(platform: SimulatedPlatform, td: TdFields, reportData: Uint8Array): Uint8Array {
  const rtmr = (at: number): Uint8Array => td.rtmrs?.[at] ?? zeros(MEASUREMENT_BYTES)
  const report = concatBytes(
    td.teeTcbSvn ?? DEFAULT_TEE_TCB_SVN,
    zeros(2 * MEASUREMENT_BYTES + 8),
    td.tdAttributes ?? PRODUCTION_TD,
    zeros(8),
    td.mrTd,
    zeros(3 * MEASUREMENT_BYTES),
    rtmr(0),
    rtmr(1),
    rtmr(2),
    rtmr(3),
    reportData,
  )
  const body = concatBytes(header(4, TEE_TDX), report)
  const { signature, attestationKey, certification } = certify(platform, body)
  const auth = concatBytes(signature, attestationKey, section(QE_REPORT, certification))
  return concatBytes(body, u32le(auth.length), auth)
}

/** An SGX quote of version 3, as in Intel's "SGX ECDSA QuoteLibReference DCAP API", appendix A.4. @param reportData 64 bytes */
export function mintSgxQuote(platform: SimulatedPlatform, enclave: EnclaveFields, reportData: Uint8Array): Uint8Array {
  const body = concatBytes(header(3, 0), enclaveReport({ attributes: PRODUCTION_ENCLAVE, ...enclave }, reportData))
  const { signature, attestationKey, certification } = certify(platform, body)
  const auth = concatBytes(signature, attestationKey, certification)
  return concatBytes(body, u32le(auth.length), auth)
}

const header = (version: number, teeType: number): Uint8Array =>
  concatBytes(u16le(version), u16le(ATTESTATION_KEY_P256), u32le(teeType), zeros(4), INTEL_VENDOR_ID, zeros(20))

const section = (type: number, body: Uint8Array): Uint8Array => concatBytes(u16le(type), u32le(body.length), body)

const enclaveReport = (enclave: Required<EnclaveFields>, reportData: Uint8Array): Uint8Array =>
  concatBytes(
    zeros(16 + 4 + 28),
    enclave.attributes,
    enclave.mrEnclave,
    zeros(32),
    enclave.mrSigner,
    zeros(96),
    u16le(enclave.isvProdId),
    u16le(enclave.isvSvn),
    zeros(60),
    reportData,
  )

/** Signs with a fresh attestation key, and has the quoting enclave's report vouch for that key. */
function certify(
  { pckKey, pckChain, quotingEnclave }: SimulatedPlatform,
  body: Uint8Array,
): { readonly signature: Uint8Array; readonly attestationKey: Uint8Array; readonly certification: Uint8Array } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
  const attestationKey = concatBytes(Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url'))
  const authData = zeros(32)
  const bound = createHash('sha256').update(attestationKey).update(authData).digest()
  const qeReport = enclaveReport(
    { ...quotingEnclave, attributes: QE_ATTRIBUTES, mrEnclave: zeros(32) },
    concatBytes(bound, zeros(REPORT_DATA_BYTES - bound.length)),
  )
  const certification = concatBytes(
    qeReport,
    signP256(pckKey, qeReport),
    u16le(authData.length),
    authData,
    section(PCK_CHAIN, utf8ToBytes(pckChain)),
  )
  return { signature: signP256(privateKey, body), attestationKey, certification }
}

/** r || s, 64 bytes. */
export const signP256 = (key: KeyObject, bytes: Uint8Array): Uint8Array =>
  Uint8Array.from(sign('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' }))
