import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '@tkms/dkg'
import { createEd25519Signer } from '@tkms/kms-client'
import { createNodeKmsClient } from '@tkms/kms-client/node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestAgent, type TestAgent } from '../../packages/kms-node/src/dstack/guest-agent.fixture.ts'
import { createTestCluster, makeKey, type TestCluster } from '../support/node-cluster.ts'

const KEY = 'ecies/rebooted'
const APPLICATION = 'the application of this cluster'
const TEST_TIMEOUT_MS = 180_000

let directory: string
let socket: string
let agent: TestAgent
let cluster: TestCluster

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-reboot-'))
  socket = join(directory, 'dstack.sock')
  agent = await startTestAgent(socket, APPLICATION)
  cluster = await createTestCluster({ n: 3, t: 2, sealer: 'dstack', environment: { TKMS_SEALER_SOCKET: socket } })
}, TEST_TIMEOUT_MS)

afterAll(async () => {
  await cluster?.dispose()
  await agent.close()
  await rm(directory, { recursive: true })
})

test('all nodes lose power at once and serve again without an operator', { timeout: TEST_TIMEOUT_MS }, async () => {
  await Promise.all(cluster.nodes.map((node) => node.start()))
  await makeKey(cluster.nodes, KEY)
  const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
  const plaintext = new TextEncoder().encode('sealed before the reboot')
  const before = await createNodeKmsClient({ cluster: await cluster.file(), signer })
  const envelope = await before.encrypt(plaintext, { key: KEY, owners: [signer.publicKeyId] })
  await before.close()

  await Promise.all(cluster.nodes.map((node) => node.kill()))
  await agent.close()
  for (const node of cluster.nodes) await expect(node.start()).rejects.toThrow('guest-agent-unavailable')
  agent = await startTestAgent(socket, APPLICATION)
  await Promise.all(cluster.nodes.map((node) => node.start()))

  expect((await readdir(cluster.directory)).filter((name) => name.includes('passphrase'))).toEqual([])
  const after = await createNodeKmsClient({ cluster: await cluster.file(), signer })
  try {
    expect(await after.decrypt(envelope)).toEqual(plaintext)
  } finally {
    await after.close()
  }
})
