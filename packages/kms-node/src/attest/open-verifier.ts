import { X509Certificate } from 'node:crypto'
import type { AttestationConfig } from '../config/types.ts'
import { readBounded } from '../files.ts'
import type { Log } from '../ops/log.ts'
import type { Clock } from '../ports.ts'
import { createCollateralCache } from './collateral-cache.ts'
import { attestError } from './errors.ts'
import { readable } from './readable.ts'
import { type AttestationVerifier, createQuoteVerifier } from './verify-quote.ts'

const MAX_ROOT_BYTES = 16 * 1024

/** Verifies quotes as node.yaml says. @throws KmsError `bad-attestation-file` */
export async function openVerifier(
  config: AttestationConfig,
  ports: { readonly clock: Clock; readonly log: Pick<Log, 'error'> },
): Promise<AttestationVerifier> {
  const { rootFile, allow, tcbStatuses, collateral } = config
  const { clock, log } = ports
  const onError = (cause: unknown): void => log.error({ cause }, 'collateral-not-kept')
  return createQuoteVerifier({
    root: rootFile === undefined ? undefined : await readRoot(rootFile),
    collateral: createCollateralCache({ ...collateral, clock, onError }),
    allow,
    tcbStatuses,
    clock,
  })
}

async function readRoot(path: string): Promise<Uint8Array> {
  const bytes = await readBounded(path, MAX_ROOT_BYTES).catch((cause: unknown) => {
    throw attestError('bad-attestation-file', `${path} cannot be read`, { cause })
  })
  const root = readable(() => new X509Certificate(bytes ?? ''))
  if (root === undefined) throw attestError('bad-attestation-file', `${path} is no certificate`)
  return new Uint8Array(root.raw)
}
