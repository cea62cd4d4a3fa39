import type { ClusterId, Curve } from '@tkms/dkg'
import type { NodeConfig } from '../config/types.ts'
import { type Log, logDryRun } from '../ops/log.ts'
import type { LivePolicy } from '../policy/live-policy.ts'
import { openPolicy } from '../policy/open-policy.ts'
import type { Clock } from '../ports.ts'
import type { AdmissionPorts } from './admission.ts'
import { createDryRun, type DryRun } from './dry-run.ts'
import type { ShareLender } from './key-table.ts'
import { createRequesterVerifier } from './requester.ts'

/** Sessions remembered as signed by their principals. */
const MAX_SESSIONS = 10_000

/** Everything that says who may ask a node, without what answers them. */
export interface Asking extends AdmissionPorts {
  /** Follows its file until it is stopped. */
  readonly policy: LivePolicy
  readonly clock: Clock
  readonly dryRun: DryRun
}

/** @throws KmsError `config-missing`, `config-unreadable`, `bad-config-file` where there is no right policy file */
export async function openAsking(node: {
  readonly config: NodeConfig
  readonly clusterId: ClusterId
  readonly curve: Curve
  readonly lender: ShareLender
  readonly clock: Clock
  readonly log: Log
  /** A policy file decides from here on: its SHA-256. */
  readonly onPolicy: (fileHash: Uint8Array) => void
}): Promise<Asking> {
  const { curve, clusterId, lender, clock } = node
  const { policy, signatures } = await openPolicy(node)
  const requesters = createRequesterVerifier({ signatures, maxSessions: MAX_SESSIONS })
  const asking = { curve, clusterId, lender, requesters, policy, clock }
  return { ...asking, dryRun: createDryRun({ ...asking, onExplained: (event) => logDryRun(node.log, event) }) }
}
