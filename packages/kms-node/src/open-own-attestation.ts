import { NO_QUOTES, openQuoteVerifiers } from './attest/open-verifier.ts'
import { openAttester } from './attest/open-attester.ts'
import { createOwnAttestation, type OwnAttestation } from './attest/own-attestation.ts'
import type { NodeConfig } from './config/types.ts'
import type { Log } from './ops/log.ts'
import type { Attester, Clock, Rng } from './ports.ts'
import type { Stop } from './stop-all.ts'

/** What proves this node, and what it thinks of its own proof. */
export interface OpenedAttestation {
  readonly attester: Attester
  readonly ownAttestation: OwnAttestation['state']
}

/** Opens the one provider that node.yaml names, and watches this node's own quote. @throws KmsError `bad-attestation-file` */
export async function openOwnAttestation(
  node: {
    readonly config: Pick<NodeConfig, 'attestation'>
    readonly clock: Clock
    readonly rng: Rng
    readonly log: Log
  },
  stops: Stop[],
): Promise<OpenedAttestation> {
  const { config, clock, rng, log } = node
  const attester = await openAttester(config.attestation)
  const { allow, warnDays } = config.attestation
  const verifiers =
    attester.provider === 'none' ? NO_QUOTES : await openQuoteVerifiers(config.attestation, { clock, log })
  const own = createOwnAttestation({ attester, verifiers, allow, warnDays, clock, rng, log })
  stops.push(() => own.stop())
  return { attester, ownAttestation: own.state }
}
