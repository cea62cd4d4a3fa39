import type { ClusterId, ParticipantIndex } from '@tkms/dkg'
import type { NodeConfig } from '../config/types.ts'
import type { NodeIdentity } from '../identity/node-identity.ts'
import { VERSION } from '../version.ts'
import { type Audit, type AuditParams, openAudit } from './open-audit.ts'

/**
 * Opens the log of a node that starts, and writes into it that it does.
 * @throws KmsError `audit-broken`, `audit-io`, `disk-full`, errors of the store
 */
export async function startAudit(
  ports: Pick<AuditParams, 'store' | 'sign' | 'clock' | 'log' | 'onFailure'> & {
    readonly config: NodeConfig
    readonly identity: NodeIdentity
    readonly clusterId: ClusterId
    readonly index: ParticipantIndex
  },
): Promise<Audit> {
  const { config, identity, clusterId, index, ...others } = ports
  const { dataDir, limits } = config
  const owner = { clusterId, index, publicKey: identity.publicKey }
  const audit = await openAudit({ ...others, dataDir, limits, owner })
  audit.note({ kind: 'start', version: VERSION })
  return audit
}
