import { openQuoteVerifiers } from '../attest/open-verifier.ts'
import { createChainReader } from '../chain/chain-reader.ts'
import type { NodeConfig } from '../config/types.ts'
import type { Log } from '../ops/log.ts'
import type { Clock } from '../ports.ts'
import { openContractWallets } from './contract-wallet.ts'
import { systemClock } from '../system.ts'
import { type LivePolicy, type LivePolicyOptions, openLivePolicy } from './live-policy.ts'
import { createQuotaBook } from './quota-rule.ts'
import type { RulePorts } from './rule-type.ts'
import { createSignatureVerifier, type SignatureVerifier } from './signature-verifier.ts'

/** Requesters' and issuers' public keys remembered as admitted. */
const MAX_REQUESTER_KEYS = 10_000

/** Who checks a file has no log. */
const SILENT: Pick<Log, 'error'> = { error: () => undefined }

/** What the rules of a node use, as its node.yaml says. */
export async function openRulePorts(
  config: NodeConfig,
  { clock = systemClock, log = SILENT }: { readonly clock?: Clock; readonly log?: Pick<Log, 'error'> } = {},
): Promise<RulePorts> {
  const wallets = await openContractWallets(config)
  return {
    signatures: createSignatureVerifier({ maxKeys: MAX_REQUESTER_KEYS, ...(wallets && { wallets }) }),
    chains: await createChainReader(config.chains),
    quotas: createQuotaBook(),
    quotes: await openQuoteVerifiers(config.attestation, { clock, log }),
  }
}

/** The policy of a node, followed until it is stopped. @throws KmsError `config-missing`, `config-unreadable`, `bad-config-file` */
export async function openPolicy(node: {
  readonly config: NodeConfig
  readonly clock: Clock
  readonly log: Log
  readonly onPolicy: LivePolicyOptions['onPolicy']
}): Promise<{ readonly policy: LivePolicy; readonly signatures: SignatureVerifier }> {
  const { config, clock, log, onPolicy } = node
  const ports = await openRulePorts(config, { clock, log })
  const { policyFile: file, profile } = config
  return { policy: await openLivePolicy({ file, profile, ports, clock, log, onPolicy }), signatures: ports.signatures }
}
