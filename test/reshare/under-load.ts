import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { ed25519 } from '@noble/curves/ed25519.js'
import {
  clusterKeys,
  equalBytes,
  lagrangeCoefficients,
  nobleCurve,
  type ParticipantIndex,
  parseCluster,
  type PointBytes,
  Secret,
  type VerifiedKey,
  verifyEd25519,
} from '@tkms/dkg'
import { createEd25519Signer, type KmsClient } from '@tkms/kms-client'
import { createNodeKmsClient, libp2p } from '@tkms/kms-client/node'
import type { CeremonyStatus } from '@tkms/kms-node'
import { DecryptLoad } from '../support/decrypt-load.ts'
import { approve, createTestCluster, type TestCluster, type TestNode, waitForStatus } from '../support/node-cluster.ts'
import { shareIn, unsealStore } from '../support/unsealed-store.ts'

const KEY = 'ecies/reshared'
const CLIENTS = 2
const GRACE_MS = 4_000
const PLAINTEXT = new TextEncoder().encode('sealed before the first resharing')
const PASSPHRASE_ENV = { TKMS_SEALER_SCRYPT_LOG_N: '10' }

/** What became of every request while the committee changed. */
export interface ReshareReport {
  readonly requests: number
  readonly failed: number
  /** Epochs made after the first, each under load. */
  readonly epochs: number
  readonly key_unchanged: boolean
  readonly old_ciphertexts_open: boolean
  /** Not part of the printed report: asserted by the test. */
  readonly removed_node_refused: boolean
  readonly old_share_useless: boolean
  readonly failures: readonly string[]
}

/**
 * Five real node processes with t = 3 become seven with t = 4, then one is replaced, then everybody is refreshed, while clients decrypt
 * all the time.
 */
export async function reshareUnderLoad(log: (line: string) => void): Promise<ReshareReport> {
  const cluster = await createTestCluster({
    n: 5,
    t: 3,
    environment: { TKMS_CEREMONY_PHASE_BASE_MS: '4000', TKMS_CEREMONY_RETIRE_GRACE_MS: `${GRACE_MS}` },
  })
  const clients: KmsClient[] = []
  try {
    const founders = [...cluster.nodes]
    await Promise.all(founders.map((node) => node.start()))
    log('five nodes make a key ...')
    const [made] = await conduct(cluster, founders, '--name', KEY)
    const signer = createEd25519Signer(new Secret(ed25519.utils.randomSecretKey()))
    const genesis = await cluster.file()
    for (let at = 0; at < CLIENTS; at++)
      clients.push(await createNodeKmsClient({ cluster: genesis, signer, transport: libp2p() }))
    const [client] = clients
    if (client === undefined) throw new Error('there are clients')
    const envelope = await client.encrypt(PLAINTEXT, { key: KEY, owners: [signer.publicKeyId] })
    const load = new DecryptLoad(clients, envelope, PLAINTEXT)

    const added = await cluster.addCandidates(3)
    await Promise.all(added.map((node) => node.start()))
    const card = (node: TestNode | undefined): string => join(node?.directory ?? '', 'card.json')
    log('five become seven, t = 4 ...')
    const seven = [...founders, ...added.slice(0, 2)]
    const grown = await conduct(
      cluster,
      seven,
      '--reshare',
      KEY,
      '--add',
      card(added[0]),
      card(added[1]),
      '--threshold',
      '4',
    )
    await passed(GRACE_MS)

    const [, leaving] = seven
    if (leaving === undefined) throw new Error('there are seven nodes')
    const aside = join(cluster.directory, 'aside')
    await cp(leaving.directory, aside, { recursive: true, filter: (path) => !path.endsWith('.sock') })
    log(`${leaving.name} is replaced ...`)
    const eight = [...seven, ...added.slice(2)]
    await conduct(cluster, eight, '--reshare', KEY, '--remove', leaving.name, '--add', card(added[2]))
    await passed(GRACE_MS)
    log('everybody is refreshed ...')
    const staying = eight.filter((node) => node !== leaving)
    const fresh = await conduct(cluster, staying, '--refresh', KEY)
    await passed(2 * GRACE_MS)
    await load.end()

    log('the old file and a new client ...')
    const late = await createNodeKmsClient({ cluster: genesis, signer, transport: libp2p() })
    clients.push(late)
    const opened = equalBytes(await late.decrypt(envelope), PLAINTEXT)
    const refused = await refuses(leaving, KEY)
    const useless = await isUseless(cluster, { aside, staying })
    return {
      requests: load.requests,
      failed: load.failures.length,
      epochs: fresh[0]?.epoch ?? 0,
      key_unchanged: new Set([...grown, ...fresh, made].map((status) => status?.publicKey)).size === 1,
      old_ciphertexts_open: opened,
      removed_node_refused: refused,
      old_share_useless: useless,
      failures: [...new Set(load.failures)].slice(0, 10),
    }
  } finally {
    await Promise.allSettled(clients.map((one) => one.close()))
    await cluster.dispose()
  }
}

const passed = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms)
  })

/** Proposes on the first node and approves on the others. @returns what each says at the end */
async function conduct(
  cluster: TestCluster,
  nodes: readonly TestNode[],
  ...options: readonly string[]
): Promise<readonly CeremonyStatus[]> {
  const [first, ...others] = nodes
  if (first === undefined) throw new Error('no node to propose on')
  const [proposed] = await cluster.run(['ceremony', 'propose', ...options, '--data-dir', first.directory])
  const { ceremony } = proposed as CeremonyStatus
  await Promise.all(others.map((node) => approve(node, ceremony)))
  return Promise.all(nodes.map((node) => waitForStatus(node, ceremony, ({ stage }) => stage === 'complete')))
}

/** Whether a removed node says itself that it serves the key no longer. */
async function refuses(node: TestNode, keyName: string): Promise<boolean> {
  const keys = (await (await node.admin()).get('/keys')) as readonly { keyName: string; serving: boolean }[]
  return !keys.some((key) => key.keyName === keyName && key.serving)
}

/** A share of an old epoch with t - 1 of the newest one gives another point than the key's own. */
async function isUseless(
  cluster: TestCluster,
  { aside, staying }: { readonly aside: string; readonly staying: readonly TestNode[] },
): Promise<boolean> {
  const file = parseCluster(await cluster.file())
  const keys = clusterKeys(nobleCurve, verifyEd25519, file)
  const key = keys.toSorted((left, right) => right.epoch - left.epoch)[0]
  if (key === undefined) throw new Error('the cluster file has the key')
  const holders = staying.slice(0, key.t)
  const points: { index: ParticipantIndex; point: PointBytes }[] = []
  for (const node of holders) {
    await node.stop()
    points.push(await partOf(node.directory, node.index, key))
  }
  const right = combine(points)
  const old = await oldPartOf(aside)
  const mixed = combine([...points.slice(1), old])
  return (
    right !== undefined && equalBytes(right, key.groupKey) && (mixed === undefined || !equalBytes(mixed, key.groupKey))
  )
}

const basePoint = (share: Uint8Array): PointBytes => nobleCurve.mulBaseSecret(new Secret(Uint8Array.from(share)))

async function partOf(
  directory: string,
  index: number,
  key: VerifiedKey,
): Promise<{ index: ParticipantIndex; point: PointBytes }> {
  const share = shareIn(await unsealStore(directory, PASSPHRASE_ENV), key)
  return { index: index as ParticipantIndex, point: basePoint(share) }
}

async function oldPartOf(directory: string): Promise<{ index: ParticipantIndex; point: PointBytes }> {
  const records = await unsealStore(directory, PASSPHRASE_ENV)
  const shares = records.filter(({ kind }) => kind === 'share')
  const last = shares.at(-1)
  if (last === undefined) throw new Error('the removed node had a share')
  return { index: 2 as ParticipantIndex, point: basePoint(last.bytes.slice(-32)) }
}

function combine(
  parts: readonly { readonly index: ParticipantIndex; readonly point: PointBytes }[],
): PointBytes | undefined {
  const weights = lagrangeCoefficients(parts.map(({ index }) => index))
  return nobleCurve.linearCombination(parts.map(({ point }, at) => ({ scalar: weights[at] ?? 0n, point })))
}
