import { X509Certificate } from 'node:crypto'
import { connect } from 'node:tls'
import { type ClusterNode, Secret } from '@tkms/dkg'
import { createHost, startHost } from '../../net/host.ts'
import { DEFAULT_NET_LIMITS } from '../../net/limits.ts'
import { createRoster } from '../../net/roster.ts'
import type { Clock, Rng } from '../../ports.ts'
import { type Finding, findingsOf } from './finding.ts'

const DAY_MS = 86_400_000
const WARN_DAYS = 21

/** @returns the end of the certificate that the node serves, Unix milliseconds; undefined when there is none to see */
export function servedUntil(node: ClusterNode, timeoutMs: number): Promise<number | undefined> {
  const { hostname, port, protocol } = new URL(node.url)
  if (protocol !== 'https:') return Promise.resolve(undefined)
  return new Promise((resolve) => {
    const done = (value: number | undefined): void => {
      socket.destroy()
      resolve(value)
    }
    // Only its dates are read here, and nothing is sent: the key is compared where the node is asked.
    const socket = connect(
      { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(port || 443), rejectUnauthorized: false },
      () => {
        const raw = socket.getPeerCertificate().raw as Buffer | undefined
        done(raw === undefined ? undefined : Date.parse(new X509Certificate(raw).validTo))
      },
    )
    socket.setTimeout(timeoutMs, () => done(undefined))
    socket.on('error', () => done(undefined))
  })
}

export async function judgeTls(
  node: ClusterNode,
  ports: { readonly clock: Clock; readonly timeoutMs: number },
): Promise<readonly Finding[]> {
  const untilMs = await servedUntil(node, ports.timeoutMs)
  if (untilMs === undefined) return []
  const finding = findingsOf('tls', node.name)
  const days = Math.floor((untilMs - ports.clock.nowMs()) / DAY_MS)
  if (days >= WARN_DAYS) return [finding.ok(`its certificate holds for ${days} days`)]
  const renew = 'its operator renews it with the same key, so that nothing changes for clients'
  return [finding.warn(days < 0 ? 'its certificate expired' : `its certificate ends in ${days} days`, renew)]
}

/** Dials every node over libp2p as a stranger does: the handshake proves its identity. */
export async function judgeDials(
  nodes: readonly ClusterNode[],
  ports: { readonly rng: Rng; readonly timeoutMs: number },
): Promise<readonly Finding[]> {
  const roster = createRoster(nodes, 0 as ClusterNode['index'])
  const identity = new Secret(ports.rng.bytes(32))
  const host = await createHost({ identity, roster, listen: [], announce: [], limits: DEFAULT_NET_LIMITS })
  try {
    await startHost(host, [])
    return await Promise.all(
      roster.peers.map(async ({ name, addresses }): Promise<Finding> => {
        const finding = findingsOf('libp2p', name)
        const reached = await host.dial([...addresses], { signal: AbortSignal.timeout(ports.timeoutMs) }).then(
          () => true,
          () => false,
        )
        return reached
          ? finding.ok('can be dialled, and proves its identity')
          : finding.fail(
              `cannot be dialled at ${addresses.map(String).join(', ')}`,
              'start the node, open its port in the firewall, and compare listen and announce in its node.yaml with the cluster file',
            )
      }),
    )
  } finally {
    await host.stop()
    identity.destroy()
  }
}

/** @param why as `askPeer` says it */
export const unanswered = (node: ClusterNode, why: string): Finding =>
  findingsOf('http', node.name).fail(
    `does not answer at ${node.url}: ${why}`,
    'start the node, open its port in the firewall, and compare its url and TLS key in the cluster file with its node.yaml',
  )
