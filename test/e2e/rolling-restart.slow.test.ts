import { Secret } from '@tkms/dkg'
import { createEd25519Signer, type KmsClient } from '@tkms/kms-client'
import { createNodeKmsClient, libp2p, pinnedHttp } from '@tkms/kms-client/node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DecryptLoad } from '../support/decrypt-load.ts'
import { createTestCluster, makeKey, type TestCluster, type TestNode } from '../support/node-cluster.ts'

/** What an upgrade of all nodes does: every one is stopped and started again, one after the other, while clients decrypt. */

const KEY = 'ecies/rolling'
const PLAINTEXT = new TextEncoder().encode('sealed before the upgrade')
const TEST_TIMEOUT_MS = 180_000

let cluster: TestCluster
const clients: KmsClient[] = []

beforeAll(async () => {
  cluster = await createTestCluster({ n: 5, t: 3 })
  await Promise.all(cluster.nodes.map((node) => node.start()))
  await makeKey(cluster.nodes, KEY)
}, TEST_TIMEOUT_MS)

afterAll(async () => {
  await Promise.allSettled(clients.map((client) => client.close()))
  await cluster?.dispose()
})

const isReady = async (node: TestNode): Promise<boolean> => (await fetch(`${node.url}/ready`)).ok

test('all nodes restart one by one and no request fails', { timeout: TEST_TIMEOUT_MS }, async () => {
  const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
  const file = await cluster.file()
  for (const transport of [libp2p(), pinnedHttp()])
    clients.push(await createNodeKmsClient({ cluster: file, signer, transport }))
  const [client] = clients
  if (client === undefined) throw new Error('there are clients')
  const envelope = await client.encrypt(PLAINTEXT, { key: KEY, owners: [signer.publicKeyId] })
  const load = new DecryptLoad(clients, envelope, PLAINTEXT)
  for (const node of cluster.nodes) {
    const before = load.requests
    expect(await node.stop()).toBe(0)
    // The others are asked for a while without it.
    await expect.poll(() => load.requests - before, { timeout: 60_000, interval: 50 }).toBeGreaterThan(20)
    await node.start()
    await expect.poll(() => isReady(node), { timeout: 60_000, interval: 50 }).toBe(true)
  }
  await load.end()
  expect(load.failures).toEqual([])
  expect(load.requests).toBeGreaterThan(100)
  for (const node of cluster.nodes) expect(node.log()).not.toContain('stop-failed')
})
