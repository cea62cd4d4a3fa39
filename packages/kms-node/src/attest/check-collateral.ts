import { verify, type X509Certificate } from 'node:crypto'
import { hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { equalBytes } from '@tkms/dkg'
import {
  commonNameOf,
  isChainTo,
  openRevocationList,
  parseChain,
  pemOf,
  type RevocationList,
  type Window,
  windowOf,
} from './certificates.ts'
import type { Collateral, CollateralQuery } from './collateral.ts'
import type { ParsedQuote } from './quote.ts'
import { readable } from './readable.ts'
import { parseSignedDates, parseTcbInfo, type TcbInfo } from './signed-json.ts'
import { type AttestationRefusal, refusedQuote } from './verdict.ts'

const TCB_SIGNER = 'Intel SGX TCB Signing'

/** Collateral whose every signature was verified, and that holds now. */
export interface CheckedCollateral {
  readonly kind: 'checked'
  /** When the first of its parts, or of the certificates, runs out. */
  readonly expiresMs: number
  readonly tcbInfo: TcbInfo
  /** The same with the chains that were checked, written anew: another reader of PEM finds just these certificates. */
  readonly collateral: Collateral & { readonly pck_certificate_chain: string }
}

type Parts =
  | {
      readonly kind: 'parts'
      readonly tcbInfoChain: readonly X509Certificate[]
      readonly qeIdentityChain: readonly X509Certificate[]
      readonly windows: readonly (readonly [string, Window])[]
      readonly tcbInfo: TcbInfo
    }
  | AttestationRefusal

/**
 * Verifies, for a platform whose certificates lead to the root, everything that `@phala/dcap-qvl` leaves out or does not tell apart: every chain up to the root with issuers that may issue, by
 * the names that Intel gives them, the signatures of lists and JSON, the times of all of it, and revocation.
 * @param root DER
 */
export function checkCollateral(
  collateral: Collateral,
  quote: Pick<ParsedQuote, 'pckChain' | 'pceId'>,
  { root, nowMs }: { readonly root: Uint8Array; readonly nowMs: number },
): CheckedCollateral | AttestationRefusal {
  const { pckChain } = quote
  const parts = openParts(collateral, root)
  if (parts.kind === 'refused') return parts
  const [pck, authority, issuer] = pckChain
  if (pck === undefined || authority === undefined || issuer === undefined)
    return refusedQuote('signature', "the platform's certificates are incomplete")
  const lists = openLists(collateral, authority, issuer)
  if (lists.kind === 'refused') return lists
  const { tcbInfo, tcbInfoChain, qeIdentityChain } = parts
  const certificates = [...pckChain, ...tcbInfoChain, ...qeIdentityChain]
  const windows = [
    ...parts.windows,
    ...lists.windows,
    ...certificates.map(
      (certificate) => [`certificate of ${commonNameOf(certificate) ?? '?'}`, windowOf(certificate)] as const,
    ),
  ]
  const over = windows.find(([, { fromMs, untilMs }]) => nowMs < fromMs || nowMs > untilMs)
  if (over !== undefined) return refusedQuote('expired', describeWindow(over))
  const revoked = certificates.find((certificate) =>
    (equalBytes(certificate.raw, pck.raw) ? lists.ofAuthority : lists.ofRoot).revokes(certificate),
  )
  if (revoked !== undefined)
    return refusedQuote('revoked', `the certificate of ${commonNameOf(revoked) ?? '?'} was revoked`)
  if (tcbInfo.pceId.toLowerCase() !== quote.pceId)
    return refusedQuote('collateral', 'the TCB info is for another kind of platform')
  const expiresMs = Math.min(...windows.map(([, { untilMs }]) => untilMs))
  const rewritten = {
    ...collateral,
    pck_certificate_chain: pemOf(pckChain),
    tcb_info_issuer_chain: pemOf(tcbInfoChain),
    qe_identity_issuer_chain: pemOf(qeIdentityChain),
  }
  return { kind: 'checked', expiresMs, tcbInfo, collateral: rewritten }
}

const describeWindow = ([name, { fromMs, untilMs }]: readonly [string, Window]): string =>
  `the ${name} holds from ${new Date(fromMs).toISOString()} until ${new Date(untilMs).toISOString()}`

/** The two pieces of signed JSON with those who signed them. */
function openParts(collateral: Collateral, root: Uint8Array): Parts {
  const tcbInfo = parseTcbInfo(collateral.tcb_info)
  const dates = parseSignedDates(collateral.qe_identity)
  if (tcbInfo === undefined || dates === undefined)
    return refusedQuote('collateral', 'the TCB info or the QE identity is not readable')
  const tcbInfoChain = openSigned(
    'TCB info',
    { text: collateral.tcb_info, signature: collateral.tcb_info_signature, pem: collateral.tcb_info_issuer_chain },
    root,
  )
  if ('kind' in tcbInfoChain) return tcbInfoChain
  const qeIdentityChain = openSigned(
    'QE identity',
    {
      text: collateral.qe_identity,
      signature: collateral.qe_identity_signature,
      pem: collateral.qe_identity_issuer_chain,
    },
    root,
  )
  if ('kind' in qeIdentityChain) return qeIdentityChain
  const windows = [
    ['TCB info', { fromMs: tcbInfo.issueDate, untilMs: tcbInfo.nextUpdate }],
    ['QE identity', { fromMs: dates.issueDate, untilMs: dates.nextUpdate }],
  ] as const
  return { kind: 'parts', tcbInfoChain, qeIdentityChain, windows, tcbInfo }
}

interface SignedText {
  readonly text: string
  /** Hex of r || s. */
  readonly signature: string
  readonly pem: string
}

/** @returns its signer's certificate and the root */
function openSigned(
  name: string,
  { text, signature, pem }: SignedText,
  root: Uint8Array,
): readonly X509Certificate[] | AttestationRefusal {
  const chain = parseChain(pem)
  const [signer] = chain ?? []
  if (chain === undefined || signer === undefined || chain.length !== 2 || !isChainTo(root, chain))
    return refusedQuote('signature', `the certificates of the ${name} do not lead to the root`)
  // Else the certificate of any platform would do.
  if (commonNameOf(signer) !== TCB_SIGNER) return refusedQuote('signature', `the ${name} has another signer`)
  return isSignedBy(signer, text, signature)
    ? chain
    : refusedQuote('signature', `the ${name} is not signed by its signer`)
}

function isSignedBy(signer: X509Certificate, text: string, signature: string): boolean {
  const bytes = readable(() => hexToBytes(signature))
  return (
    bytes?.length === 64 &&
    verify('sha256', utf8ToBytes(text), { key: signer.publicKey, dsaEncoding: 'ieee-p1363' }, bytes)
  )
}

type Lists =
  | {
      readonly kind: 'lists'
      readonly windows: readonly (readonly [string, Window])[]
      readonly ofRoot: RevocationList
      readonly ofAuthority: RevocationList
    }
  | AttestationRefusal

/** The lists of the root and of the authority that issued the platform's certificate. */
function openLists(collateral: Collateral, authority: X509Certificate, root: X509Certificate): Lists {
  const rootCrl = readable(() => hexToBytes(collateral.root_ca_crl))
  const pckCrl = readable(() => hexToBytes(collateral.pck_crl))
  if (rootCrl === undefined || pckCrl === undefined) return refusedQuote('collateral', 'a revocation list is missing')
  const ofRoot = openRevocationList(rootCrl, root, 'revocation list of the root')
  if (ofRoot.kind === 'refused') return ofRoot
  const ofAuthority = openRevocationList(pckCrl, authority, 'revocation list of the PCK authority')
  if (ofAuthority.kind === 'refused') return ofAuthority
  return {
    kind: 'lists',
    windows: [
      ['revocation list of the root', ofRoot.list.window],
      ['revocation list of the PCK authority', ofAuthority.list.window],
    ],
    ofRoot: ofRoot.list,
    ofAuthority: ofAuthority.list,
  }
}

/**
 * What is wrong with collateral before any quote is judged by it: it is of another kind of platform, or not signed by those who may.
 * Times are not looked at.
 * @param root DER
 */
export function collateralProblem(
  collateral: Collateral,
  { fmspc, ca, tee }: CollateralQuery,
  root: Uint8Array,
): string | undefined {
  const parts = openParts(collateral, root)
  if (parts.kind === 'refused') return parts.detail
  const identity = parseSignedDates(collateral.qe_identity)?.id
  if (parts.tcbInfo.fmspc.toLowerCase() !== fmspc || (parts.tcbInfo.id ?? 'SGX') !== tee.toUpperCase())
    return 'the TCB info is of another kind of platform'
  if (identity !== (tee === 'tdx' ? 'TD_QE' : 'QE')) return 'the QE identity is of another kind of enclave'
  const [authority, issuer, ...more] = parseChain(collateral.pck_crl_issuer_chain) ?? []
  if (authority === undefined || issuer === undefined || more.length > 0 || !isChainTo(root, [authority, issuer]))
    return 'the certificates of the revocation list do not lead to the root'
  if (commonNameOf(authority)?.toLowerCase() !== `intel sgx pck ${ca} ca`)
    return 'the revocation list is of another authority'
  const lists = openLists(collateral, authority, issuer)
  return lists.kind === 'refused' ? lists.detail : undefined
}
