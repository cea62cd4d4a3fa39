import { X509Certificate } from 'node:crypto'
import type { AttestationConfig } from '../config/types.ts'
import { readBounded } from '../files.ts'
import type { Log } from '../ops/log.ts'
import type { Clock } from '../ports.ts'
import { createCollateralCache } from './collateral-cache.ts'
import { attestError } from './errors.ts'
import type { AllowedMeasurement } from './measurements.ts'
import { readable } from './readable.ts'
import { refusedQuote } from './verdict.ts'
import { type AttestationVerifier, createQuoteVerifier, INTEL_ROOT } from './verify-quote.ts'

const MAX_ROOT_BYTES = 16 * 1024

/** Verifiers with the root, the collateral and the TCB statuses of a node. @param asOfMs judge as at this time; default: now */
export type QuoteVerifiers = (allow: readonly AllowedMeasurement[], asOfMs?: number) => AttestationVerifier

/** Takes no quote: where no rule asks for one. */
export const NO_QUOTES: QuoteVerifiers = () => ({
  verify: () => Promise.resolve(refusedQuote('collateral', 'no collateral is known here')),
})

interface VerifierPorts {
  readonly clock: Clock
  readonly log: Pick<Log, 'error'>
}

/** @throws KmsError `bad-attestation-file` */
export async function openQuoteVerifiers(
  { rootFile, tcbStatuses, collateral: where }: AttestationConfig,
  { clock, log }: VerifierPorts,
): Promise<QuoteVerifiers> {
  const root = rootFile === undefined ? INTEL_ROOT : await readRoot(rootFile)
  const collateral = createCollateralCache({
    ...where,
    root,
    clock,
    onNotFetched: ({ tee, fmspc, ca }, cause) => log.error({ tee, fmspc, ca, cause }, 'collateral-not-fetched'),
    onNotKept: (cause) => log.error({ cause }, 'collateral-not-kept'),
  })
  return (allow, asOfMs) => {
    const at = asOfMs === undefined ? clock : { nowMs: () => asOfMs }
    return createQuoteVerifier({ root, collateral, allow, tcbStatuses, clock: at })
  }
}

/** Verifies quotes as node.yaml says. @throws KmsError `bad-attestation-file` */
export const openVerifier = async (config: AttestationConfig, ports: VerifierPorts): Promise<AttestationVerifier> =>
  (await openQuoteVerifiers(config, ports))(config.allow)

async function readRoot(path: string): Promise<Uint8Array> {
  const bytes = await readBounded(path, MAX_ROOT_BYTES).catch((cause: unknown) => {
    throw attestError('bad-attestation-file', `${path} cannot be read`, { cause })
  })
  const root = readable(() => new X509Certificate(bytes ?? ''))
  if (root === undefined) throw attestError('bad-attestation-file', `${path} is no certificate`)
  return new Uint8Array(root.raw)
}
