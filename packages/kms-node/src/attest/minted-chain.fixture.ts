import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import type { Collateral } from './collateral.ts'
import { type MintedCertificate, mintCertificate, mintCrl, sgxExtension } from './minted-certificates.fixture.ts'
import type { SimulatedFile } from './simulated-attester.ts'
import {
  type EnclaveFields,
  mintSgxQuote,
  mintTdxQuote,
  signP256,
  type SimulatedPlatform,
  type TdFields,
} from './simulated-quote.ts'

const DAY_MS = 86_400_000
const YEAR_MS = 365 * DAY_MS
const FMSPC = hexToBytes('b0c06f000000')
const PCE_ID = hexToBytes('0000')
const CPU_SVN = hexToBytes('02020202030100050000000000000000')
const PCE_SVN = 11
const QE_MR_SIGNER = hexToBytes('dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5')
const NO_SIGNER = '00'.repeat(48)
const PCK_SERIAL = 4

/** Which root, what measurement: the same in every chain unless told otherwise. */
export const MINTED_MR_TD: Uint8Array = new Uint8Array(48).fill(0xa1)
export const MINTED_RTMRS: readonly Uint8Array[] = [1, 2, 3, 4].map((value) => new Uint8Array(48).fill(value))

/** How the collateral of a minted chain is made; the default is what a healthy platform gets. */
export interface CollateralWishes {
  readonly tee?: 'tdx' | 'sgx'
  /** When the TCB info, the QE identity and the revocation lists were issued; default: an hour before the chain's time. */
  readonly issuedMs?: number
  /** Until when they hold; default: 30 days after they were issued. */
  readonly nextUpdateMs?: number
  readonly revokePck?: boolean
  /** Of the revocation lists; default: none. */
  readonly crlNumber?: number
  /** Of the platform's own level; default `UpToDate`. */
  readonly tcbStatus?: string
  readonly moduleStatus?: string
}

/** A root of our own with all that Intel has under its: authorities, a platform, collateral, quotes. */
export interface MintedChain {
  /** DER of the root certificate: what `createQuoteVerifier` takes. */
  readonly root: Uint8Array
  readonly rootPem: string
  readonly rootCertificate: MintedCertificate
  readonly platform: SimulatedPlatform
  readonly fmspc: string
  collateral(wishes?: CollateralWishes): Collateral
  /** What the provider `simulated` reads. */
  simulatedFile(td?: Partial<SimulatedFile['td']>): SimulatedFile
  /** @param reportData 64 bytes */
  tdxQuote(reportData: Uint8Array, td?: Partial<TdFields>): Uint8Array
  sgxQuote(reportData: Uint8Array, enclave?: Partial<EnclaveFields>): Uint8Array
}

/** A machine of its own kind beside those of another chain. */
export interface SiblingPlatform {
  /** 12 hex digits. */
  readonly fmspc: string
  /** Signs for it as well. */
  readonly root: MintedCertificate
}

/** @param nowMs the time the chain is good at; certificates hold for years around it */
export function mintChain(nowMs: number = Date.now(), sibling?: SiblingPlatform): MintedChain {
  const years = { notBeforeMs: nowMs - YEAR_MS, notAfterMs: nowMs + 5 * YEAR_MS }
  const ownRoot = { commonName: 'Intel SGX Root CA', isCa: true, serial: 1, ...years }
  const root = sibling?.root ?? mintCertificate(ownRoot)
  const fmspc = sibling === undefined ? FMSPC : hexToBytes(sibling.fmspc)
  const under = (commonName: string, serial: number, issuer: MintedCertificate, isCa: boolean, sgx?: Uint8Array) =>
    mintCertificate({ commonName, issuer, isCa, serial, ...years, ...(sgx && { sgxExtension: sgx }) })
  const tcbSigner = under('Intel SGX TCB Signing', 2, root, false)
  const pckAuthority = under('Intel SGX PCK Platform CA', 3, root, true)
  const facts = sgxExtension({ fmspc, cpuSvn: CPU_SVN, pceSvn: PCE_SVN, pceId: PCE_ID })
  const pck = under('Intel SGX PCK Certificate', PCK_SERIAL, pckAuthority, false, facts)
  const platform: SimulatedPlatform = {
    pckKey: pck.key,
    pckChain: pck.pem + pckAuthority.pem + root.pem,
    quotingEnclave: { mrSigner: QE_MR_SIGNER, isvProdId: 2, isvSvn: 4 },
  }
  const signed = (text: string): string => bytesToHex(signP256(tcbSigner.key, utf8ToBytes(text)))
  return {
    root: root.der,
    rootPem: root.pem,
    platform,
    rootCertificate: root,
    fmspc: bytesToHex(fmspc),
    collateral(wishes = {}) {
      const issuedMs = wishes.issuedMs ?? nowMs - 3_600_000
      const nextUpdateMs = wishes.nextUpdateMs ?? issuedMs + 30 * DAY_MS
      const crl = (issuer: MintedCertificate, serials: readonly number[]): string =>
        bytesToHex(mintCrl(issuer, serials, { thisUpdateMs: issuedMs, nextUpdateMs, number: wishes.crlNumber }))
      const window = { issueDate: isoSeconds(issuedMs), nextUpdate: isoSeconds(nextUpdateMs) }
      const tcbInfo = JSON.stringify(tcbInfoOf(wishes, window, fmspc))
      const qeIdentity = JSON.stringify(qeIdentityOf(wishes.tee ?? 'tdx', window))
      return {
        pck_crl_issuer_chain: pckAuthority.pem + root.pem,
        root_ca_crl: crl(root, []),
        pck_crl: crl(pckAuthority, wishes.revokePck === true ? [PCK_SERIAL] : []),
        tcb_info_issuer_chain: tcbSigner.pem + root.pem,
        tcb_info: tcbInfo,
        tcb_info_signature: signed(tcbInfo),
        qe_identity_issuer_chain: tcbSigner.pem + root.pem,
        qe_identity: qeIdentity,
        qe_identity_signature: signed(qeIdentity),
      }
    },
    simulatedFile: (td) => ({
      pckKey: pck.key.export({ type: 'pkcs8', format: 'pem' }).toString(),
      pckChain: platform.pckChain,
      quotingEnclave: { ...platform.quotingEnclave, mrSigner: bytesToHex(QE_MR_SIGNER) },
      td: { mrTd: bytesToHex(MINTED_MR_TD), rtmrs: MINTED_RTMRS.map(bytesToHex), ...td },
    }),
    tdxQuote: (reportData, td) =>
      mintTdxQuote(platform, { mrTd: MINTED_MR_TD, rtmrs: MINTED_RTMRS, ...td }, reportData),
    sgxQuote: (reportData, enclave) =>
      mintSgxQuote(
        platform,
        {
          mrEnclave: new Uint8Array(32).fill(0xe1),
          mrSigner: new Uint8Array(32).fill(0xe2),
          isvProdId: 7,
          isvSvn: 3,
          ...enclave,
        },
        reportData,
      ),
  }
}

const isoSeconds = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z')

interface Window {
  readonly issueDate: string
  readonly nextUpdate: string
}

const components = (svns: Uint8Array): object[] => [...svns].map((svn) => ({ svn }))

function tcbInfoOf(
  { tee = 'tdx', tcbStatus = 'UpToDate', moduleStatus = 'UpToDate' }: CollateralWishes,
  window: Window,
  fmspc: Uint8Array,
) {
  const tdx = tee === 'tdx'
  const tcb = { sgxtcbcomponents: components(CPU_SVN), pcesvn: PCE_SVN }
  const module = { mrsigner: NO_SIGNER, attributes: '0000000000000000', attributesMask: 'FFFFFFFFFFFFFFFF' }
  const moduleLevel = { tcb: { isvsvn: 4 }, tcbDate: '2024-03-13T00:00:00Z', tcbStatus: moduleStatus }
  return {
    id: tdx ? 'TDX' : 'SGX',
    version: 3,
    ...window,
    fmspc: bytesToHex(fmspc).toUpperCase(),
    pceId: '0000',
    tcbType: 0,
    tcbEvaluationDataNumber: 17,
    ...(tdx && { tdxModule: module, tdxModuleIdentities: [{ id: 'TDX_01', ...module, tcbLevels: [moduleLevel] }] }),
    tcbLevels: [
      {
        tcb: { ...tcb, ...(tdx && { tdxtcbcomponents: components(hexToBytes('05000200000000000000000000000000')) }) },
        tcbDate: '2024-03-13T00:00:00Z',
        tcbStatus,
      },
    ],
  }
}

const qeIdentityOf = (tee: 'tdx' | 'sgx', window: Window): object => ({
  id: tee === 'tdx' ? 'TD_QE' : 'QE',
  version: 2,
  ...window,
  tcbEvaluationDataNumber: 17,
  miscselect: '00000000',
  miscselectMask: 'FFFFFFFF',
  attributes: '11000000000000000000000000000000',
  attributesMask: 'FBFFFFFFFFFFFFFF0000000000000000',
  mrsigner: bytesToHex(QE_MR_SIGNER).toUpperCase(),
  isvprodid: 2,
  tcbLevels: [{ tcb: { isvsvn: 4 }, tcbDate: '2024-03-13T00:00:00Z', tcbStatus: 'UpToDate' }],
})
