import { bytesKey, type Cluster } from '@tkms/dkg'
import { pinnedExchange } from '@tkms/kms-client/node'
import type { NodeConfig } from '../../config/types.ts'
import type { Clock, Rng } from '../../ports.ts'
import type { FileSystem } from '../../store/file-system.ts'
import { judgePeerSealing, judgeProof } from './attestation-checks.ts'
import { type Finding, findingsOf } from './finding.ts'
import { judgePolicy, judgeSealing, judgeStorage } from './own-checks.ts'
import { askPeer, judgeAnswer, judgeVersions } from './peer-answers.ts'
import { judgeDials, judgeTls, unanswered } from './reach-peers.ts'
import { judgeHosts, systemResolve } from './shared-hosts.ts'

/** For one answer, one dial, one name. */
const TIMEOUT_MS = 5_000

/** Everything that is examined without the node's secrets: this machine, and every node of the cluster file from here. */
export async function examine(ports: {
  readonly config: NodeConfig
  readonly cluster: Cluster
  readonly clock: Clock
  readonly rng: Rng
  readonly fileSystem: FileSystem
}): Promise<readonly Finding[]> {
  const { config, cluster, clock, rng, fileSystem } = ports
  const { nodes } = cluster
  const bounds = { clock, timeoutMs: TIMEOUT_MS }
  const door = pinnedExchange({ handshakeTimeoutMs: TIMEOUT_MS })
  try {
    const asked = await Promise.all(
      nodes.map(async (node) => ({ node, answer: await askPeer(node, { get: door.exchange, ...bounds }) })),
    )
    const answers = asked.flatMap(({ node, answer }) => (typeof answer === 'string' ? [] : [{ node, answer }]))
    const clusterId = `0x${bytesKey(cluster.config.clusterId)}`
    const own = await Promise.all([judgeStorage(config, { fileSystem, rng }), judgePolicy(config)])
    return [
      ...own.flat(),
      judgeSealing(config),
      ...asked.flatMap(({ node, answer }) =>
        typeof answer === 'string'
          ? [unanswered(node, answer)]
          : [findingsOf('http', node.name).ok(`answers at ${node.url}`), ...judgeAnswer(node, answer, { clusterId })],
      ),
      ...answers.flatMap(({ node, answer: { status } }) => [
        ...(node.name === config.name ? [] : [judgePeerSealing(node, status)]),
        ...judgeProof(node, status, { wanted: config.attestation, nowMs: clock.nowMs() }),
      ]),
      ...judgeVersions(answers),
      ...(await Promise.all(nodes.map((node) => judgeTls(node, bounds)))).flat(),
      ...(await judgeDials(nodes, { rng, timeoutMs: TIMEOUT_MS })),
      ...(await judgeHosts(nodes, systemResolve(TIMEOUT_MS))),
    ]
  } finally {
    door.close()
  }
}
