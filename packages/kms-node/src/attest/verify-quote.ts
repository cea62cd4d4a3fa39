import { timingSafeEqual } from 'node:crypto'
import { TRUSTED_ROOT_CA_DER } from '@phala/dcap-qvl/src/constants.js'
import { QuoteVerifier } from '@phala/dcap-qvl/src/verify.js'
import { isKmsError } from '../errors.ts'
import type { Clock } from '../ports.ts'
import { isChainTo } from './certificates.ts'
import { type CheckedCollateral, checkCollateral } from './check-collateral.ts'
import type { Collateral, CollateralSource } from './collateral.ts'
import { type AllowedMeasurement, allowedName, describeMeasurement } from './measurements.ts'
import { type ParsedQuote, parseQuote } from './quote.ts'
import { isSignedBy } from './quote-signatures.ts'
import { readable } from './readable.ts'
import { REPORT_DATA_BYTES } from './report-data.ts'
import type { TcbInfo } from './signed-json.ts'
import { isTcbStatus, moduleStatus, type TcbStatus, worseStatus } from './tcb.ts'
import { type AttestationRefusal, type AttestationVerdict, type RefusalReason, refusedQuote } from './verdict.ts'

export interface QuoteVerifierOptions {
  /** DER of the only root that is trusted. Default: Intel's SGX Root CA. */
  readonly root?: Uint8Array | undefined
  readonly collateral: CollateralSource
  readonly allow: readonly AllowedMeasurement[]
  /** Statuses that are taken; default: `UpToDate` alone. `Revoked` never is. */
  readonly tcbStatuses?: readonly TcbStatus[] | undefined
  readonly clock: Pick<Clock, 'nowMs'>
}

export interface QuoteCheck {
  /** 64 bytes that the quote must have signed. */
  readonly reportData: Uint8Array
  readonly signal: AbortSignal
}

/** Says whether a quote proves that allowed code runs on a genuine machine, for just this purpose. */
export interface AttestationVerifier {
  /** Never rejects. SEV-SNP reports are refused as `malformed`: no kept verifier of them may be shipped here (docs/dependencies.md). */
  verify(quote: Uint8Array | undefined, check: QuoteCheck): Promise<AttestationVerdict>
}

/** DER of Intel's SGX Root CA. */
export const INTEL_ROOT: Uint8Array = new Uint8Array(TRUSTED_ROOT_CA_DER)
/** PCK certificate, its authority, the root. */
const PCK_CHAIN_LENGTH = 3
/** Serial length of an SEV-SNP attestation report, and its version in the first four bytes (AMD 56860, table 23). */
const SNP_REPORT_BYTES = 1184

/** What `@phala/dcap-qvl` says in words only; whatever else it says is `signature`. */
const LIBRARY_REASONS: readonly (readonly [RegExp, RefusalReason])[] = [
  [/^Debug mode is enabled|^SEPT_VE_DISABLE|^Reserved bits in TD|^Invalid mr service td/, 'debug'],
  [/^TCB status is invalid|^No matching TCB level|is below minimum required|^No (?:SGX|TDX) components/, 'tcb'],
  [/^Fmspc mismatch|^(?:TDX|SGX) quote with non-|^Unsupported QE Identity/, 'collateral'],
  [/^Failed to decode quote|^Unsupported DCAP|must have version/, 'malformed'],
]

/** DCAP: debug bit and report data, certificates, signatures, collateral, quoting enclave, TCB, allow list (docs/interfaces.md, attestation). */
export function createQuoteVerifier(options: QuoteVerifierOptions): AttestationVerifier {
  const { allow, clock, collateral: source, tcbStatuses = ['UpToDate'] } = options
  const { root = INTEL_ROOT } = options
  const library = QuoteVerifier.newWithRootCa(Buffer.from(root))

  const judge = async (quote: ParsedQuote, collateral: Collateral): Promise<AttestationVerdict> => {
    const nowMs = clock.nowMs()
    const checked = checkCollateral(collateral, quote, { root, nowMs })
    if (checked.kind === 'refused') return checked
    const platform = verifyBy(library, quote, checked.collateral, nowMs)
    if (typeof platform !== 'string') return platform
    const status = combinedStatus(platform, quote, checked.tcbInfo)
    if (typeof status !== 'string') return status
    if (status === 'Revoked' || !tcbStatuses.includes(status)) return refusedQuote('tcb', `the TCB is ${status}`)
    const measurement = allowedName(allow, quote.measurement)
    if (measurement === undefined) return refusedQuote('measurement', describeMeasurement(quote.measurement))
    return {
      kind: 'accepted',
      tee: quote.measurement.tee,
      measurement,
      tcbStatus: status,
      expiresMs: checked.expiresMs,
    }
  }

  return {
    async verify(bytes, { reportData, signal }) {
      if (bytes === undefined || bytes.length === 0) return refusedQuote('missing', 'there is no quote')
      const quote = parseQuote(bytes)
      if (quote === undefined)
        return refusedQuote('malformed', bytes.length === SNP_REPORT_BYTES ? 'sev-snp: unsupported' : 'not a quote')
      const refusal = refusedAtSight(quote, reportData)
      if (refusal !== undefined) return refusal
      // Before anything is fetched for it: what it says of its platform is of no account until then.
      if (quote.pckChain.length !== PCK_CHAIN_LENGTH || !isChainTo(root, quote.pckChain))
        return refusedQuote('signature', "the platform's certificates do not lead to the root")
      if (!isSignedByPlatform(quote)) return refusedQuote('signature', 'the quote is not signed by its platform')
      const collateral = await source.get(quote.query, signal).catch((cause: unknown) => readRefusal(cause))
      return 'kind' in collateral ? collateral : judge(quote, collateral)
    },
  }
}

/** What no signature can make good is refused before any is verified. */
function refusedAtSight(quote: ParsedQuote, reportData: Uint8Array): AttestationRefusal | undefined {
  if (quote.isDebug) return refusedQuote('debug', 'the machine runs in debug mode')
  if (reportData.length !== REPORT_DATA_BYTES || !timingSafeEqual(quote.reportData, reportData))
    return refusedQuote('report-data', 'the quote was made for another node, cluster, nonce or connection')
  return undefined
}

function isSignedByPlatform({ signatures, pckChain: [platform] }: ParsedQuote): boolean {
  return platform !== undefined && readable(() => isSignedBy(signatures, platform.publicKey)) === true
}

function readRefusal(cause: unknown): AttestationRefusal {
  if (isKmsError(cause)) return refusedQuote('collateral', cause.message)
  throw cause
}

/** @returns the status of platform and quoting enclave */
function verifyBy(
  library: QuoteVerifier,
  quote: ParsedQuote,
  collateral: CheckedCollateral['collateral'],
  nowMs: number,
): TcbStatus | AttestationRefusal {
  try {
    const { status } = library.verify(quote.bytes, collateral, Math.floor(nowMs / 1000))
    return isTcbStatus(status) ? status : refusedQuote('tcb', `the TCB has a status unknown here`)
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause)
    return refusedQuote(LIBRARY_REASONS.find(([pattern]) => pattern.test(text))?.[1] ?? 'signature', text)
  }
}

function combinedStatus(platform: TcbStatus, quote: ParsedQuote, tcbInfo: TcbInfo): TcbStatus | AttestationRefusal {
  if (quote.module === undefined) return platform
  const module = moduleStatus(quote.module, tcbInfo)
  return typeof module === 'string' ? worseStatus(platform, module) : refusedQuote('tcb', module.problem)
}
