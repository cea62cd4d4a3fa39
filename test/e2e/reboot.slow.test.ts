import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '@tkms/dkg'
import type { LocalSealer } from '@tkms/examples/local-cluster'
import { createEd25519Signer } from '@tkms/kms-client'
import { createNodeKmsClient } from '@tkms/kms-client/node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestAgent, type TestAgent } from '../../packages/kms-node/src/dstack/guest-agent.fixture.ts'
import { createTestCluster, makeKey, type TestCluster, type TestNode } from '../support/node-cluster.ts'
import { createTestTpm, tpmMissing, type TestTpm } from '../support/swtpm.ts'

const missing = await tpmMissing()
if (missing !== undefined && process.env['TKMS_REQUIRE_ALL'] === '1') throw new Error(missing)
if (missing !== undefined) process.stdout.write(`skipped: nodes with TPMs among those that reboot, ${missing}\n`)

const KEY = 'ecies/rebooted'
const APPLICATION = 'the application of this cluster'
const SYSTEM = 'firmware, boot loader and kernel'
const TEST_TIMEOUT_MS = 180_000

/** Those that have no TPM are in dstack. */
const WITH_TPM = missing === undefined ? ['node-2', 'node-3'] : []

let directory: string
let socket: string
let agent: TestAgent
let cluster: TestCluster
const tpms = new Map<string, TestTpm>()

const sealerOf = (name: string): LocalSealer => (tpms.has(name) ? 'tpm2' : 'dstack')
const settingsOf = (name: string): Readonly<Record<string, string>> => {
  const tpm = tpms.get(name)
  return tpm === undefined ? { TKMS_SEALER_SOCKET: socket } : { TKMS_SEALER_TCTI: tpm.tcti }
}
const powerOn = async (system: string): Promise<void> => {
  await Promise.all(
    [...tpms.values()].map(async (tpm) => {
      await tpm.start()
      await tpm.measure(system)
    }),
  )
}
const powerOff = (): Promise<unknown> => Promise.all([...tpms.values()].map((tpm) => tpm.stop('SIGKILL')))

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-reboot-'))
  socket = join(directory, 'dstack.sock')
  agent = await startTestAgent(socket, APPLICATION)
  for (const name of WITH_TPM) {
    await mkdir(join(directory, name))
    const tpm = await createTestTpm(join(directory, name))
    tpms.set(name, tpm)
    await tpm.measure(SYSTEM)
  }
  cluster = await createTestCluster({ n: 3, t: 2, sealer: sealerOf, environmentOf: settingsOf })
}, TEST_TIMEOUT_MS)

afterAll(async () => {
  await cluster?.dispose()
  await agent.close()
  await Promise.all([...tpms.values()].map((tpm) => tpm.stop()))
  await rm(directory, { recursive: true })
})

/** That none of them starts, each for the reason of its sealer. */
async function expectNoStart(reasons: Readonly<Record<LocalSealer, string>>): Promise<void> {
  await Promise.all(cluster.nodes.map((node) => expect(node.start()).rejects.toThrow(reasons[sealerOf(node.name)])))
}

const serving = async (node: TestNode): Promise<unknown> => (await node.admin()).get('/keys')

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
  await powerOff()
  const away = { dstack: 'guest-agent-unavailable', tpm2: 'tpm-unavailable', 'kms-file': '' }
  await expectNoStart(away)
  await powerOn('another kernel')
  await expectNoStart({ ...away, tpm2: 'unseal-failed' })
  await powerOff()
  await powerOn(SYSTEM)
  agent = await startTestAgent(socket, APPLICATION)
  await Promise.all(cluster.nodes.map((node) => node.start()))

  expect((await readdir(cluster.directory)).filter((name) => name.includes('passphrase'))).toEqual([])
  for (const node of cluster.nodes)
    await expect
      .poll(() => serving(node), { timeout: 60_000 })
      .toMatchObject([{ keyName: KEY, epoch: 0, serving: true }])
  const after = await createNodeKmsClient({ cluster: await cluster.file(), signer })
  try {
    expect(await after.decrypt(envelope)).toEqual(plaintext)
  } finally {
    await after.close()
  }
})
