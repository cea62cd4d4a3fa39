import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { initialiseNode, type NodeConfig } from '@tkms/kms-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestAgent, type TestAgent } from '../../packages/kms-node/src/dstack/guest-agent.fixture.ts'
import { findLeaks, type KnownSecret } from '../support/leak-search.ts'
import { productionInput } from '../support/production-node.ts'
import { copyDisk, type Loot, plantSecrets, rob, type Thief } from '../support/stolen-disk.ts'
import { createTestTpm, tpmMissing, type TestTpm } from '../support/swtpm.ts'

const PCRS = 'sha256:0,1,2,3,4,5,7'
const SYSTEM = 'firmware, boot loader and kernel'

const missing = await tpmMissing()
if (missing !== undefined && process.env['TKMS_REQUIRE_ALL'] === '1') throw new Error(missing)
if (missing !== undefined) process.stdout.write(`skipped: a stolen disk and TPMs, ${missing}\n`)

let directory: string
const agents: TestAgent[] = []
const tpms: TestTpm[] = []
let ownTpm: TestTpm | undefined
const thieves: Thief[] = []

const socketOf = (name: string): string => join(directory, `${name}.sock`)
const newAgent = async (name: string): Promise<void> =>
  void agents.push(await startTestAgent(socketOf(name), `the application of ${name}`))
async function newTpm(name: string): Promise<TestTpm> {
  await mkdir(join(directory, name))
  const tpm = await createTestTpm(join(directory, name))
  tpms.push(tpm)
  await tpm.measure(SYSTEM)
  return tpm
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-stolen-'))
  for (const name of ['own', 'other']) await newAgent(name)
  const env = { TKMS_PASSPHRASE: 'a passphrase that the thief likes' }
  thieves.push(
    { name: 'another application in dstack', sealer: { provider: 'dstack', socket: socketOf('other') } },
    { name: 'no guest agent', sealer: { provider: 'dstack', socket: socketOf('none') } },
    { name: 'a key file', sealer: { provider: 'kms-file', keyFile: join(directory, 'own.key') } },
    { name: 'a passphrase', sealer: { provider: 'passphrase', scryptLogN: 10 }, env },
  )
  if (missing !== undefined) return
  ownTpm = await newTpm('a')
  const { tcti } = await newTpm('b')
  thieves.push({ name: 'another TPM, started alike', sealer: { provider: 'tpm2', tcti, pcrs: PCRS } })
}, 120_000)

afterAll(async () => {
  await Promise.all([...agents.map((agent) => agent.close()), ...tpms.map((tpm) => tpm.stop())])
  await rm(directory, { recursive: true, force: true })
})

async function init(name: string, sealer: 'tpm2' | 'dstack'): Promise<NodeConfig> {
  const env = sealer === 'tpm2' ? { TKMS_SEALER_TCTI: ownTpm?.tcti } : { TKMS_SEALER_SOCKET: socketOf('own') }
  const { config } = await initialiseNode(productionInput(join(directory, name), sealer, env))
  return config
}

/** Nothing opens for any thief, nothing lies open; the node's own machine opens it all. */
async function expectWorthless(
  stolen: Awaited<ReturnType<typeof copyDisk>>,
  secrets: readonly KnownSecret[],
): Promise<void> {
  const loot: (Loot & { readonly thief: string })[] = []
  for (const thief of thieves) loot.push({ thief: thief.name, ...(await rob(stolen, thief)) })
  expect(loot.flatMap(({ thief, opened }) => opened.map((file) => `${thief}: ${file}`))).toEqual([])
  const closed = ['unseal-failed', 'sealer-mismatch', 'guest-agent-unavailable']
  expect(loot.flatMap(({ refusals }) => [...refusals].filter((code) => !closed.includes(code)))).toEqual([])
  expect(findLeaks(secrets, stolen.files)).toEqual([])

  const owner = { name: 'the machine itself', sealer: stolen.config.sealer }
  expect((await rob(stolen, owner)).opened).toEqual(['the store', expect.stringMatching(/keyring$/)])
  const [planted] = secrets
  const plain = { name: 'a plain file', bytes: planted?.bytes ?? new Uint8Array(0) }
  expect(findLeaks(secrets, [...stolen.files, plain])).not.toEqual([])
}

test('the whole disk of a node in dstack is worth nothing on another machine', async () => {
  const config = await init('in-dstack', 'dstack')
  const secrets = await plantSecrets(config)
  expect(secrets).toHaveLength(6)
  const stolen = await copyDisk(config, join(directory, 'stolen-from-dstack'))
  expect(stolen.files.length).toBeGreaterThan(10)
  await expectWorthless(stolen, secrets)
})

describe.skipIf(missing !== undefined)('with a TPM', () => {
  test('the whole disk is worth nothing on another machine, nor on the same one that was started otherwise', async () => {
    const config = await init('with-tpm', 'tpm2')
    const secrets = await plantSecrets(config)
    const stolen = await copyDisk(config, join(directory, 'stolen-from-tpm'))
    expect(stolen.files.length).toBeGreaterThan(10)
    await expectWorthless(stolen, secrets)

    await ownTpm?.measure('the system of a thief')
    const { opened, refusals } = await rob(stolen, { name: 'the same TPM', sealer: config.sealer })
    expect(opened).toEqual([])
    expect(refusals).toContain('unseal-failed')
  })
})
