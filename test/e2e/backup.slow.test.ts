import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '@tkms/dkg'
import { createEd25519Signer, type KmsClient } from '@tkms/kms-client'
import { createNodeKmsClient, pinnedHttp } from '@tkms/kms-client/node'
import type { CeremonyStatus } from '@tkms/kms-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestAgent, type TestAgent } from '../../packages/kms-node/src/dstack/guest-agent.fixture.ts'
import { findLeaks } from '../support/leak-search.ts'
import {
  approve,
  createTestCluster,
  makeKey,
  type TestCluster,
  type TestNode,
  waitForStatus,
} from '../support/node-cluster.ts'
import { countersOf, createTestTpm, tpmMissing, type TestTpm, withTools } from '../support/swtpm.ts'
import { onlyRecord, tlsSecrets, unsealStore } from '../support/unsealed-store.ts'

/** Backup, drill and restore with real processes: of a node with a passphrase onto a TPM, and then onto dstack. */

const missing = await tpmMissing()
if (missing !== undefined && process.env['TKMS_REQUIRE_ALL'] === '1') throw new Error(missing)
if (missing !== undefined) process.stdout.write(`skipped: a restore onto a TPM, ${missing}\n`)

const KEY = 'ecies/backed-up'
const TEST_TIMEOUT_MS = 180_000
const POLL = { timeout: 60_000, interval: 100 }
const PLAINTEXT = new TextEncoder().encode('sealed before the disk was lost')

let cluster: TestCluster
let identity: string
let recipient: string
let client: KmsClient
let envelope: Awaited<ReturnType<KmsClient['encrypt']>>
let agent: TestAgent
let tpm: TestTpm | undefined
/** Short: sockets lie in it. */
let machine: string
/** Settings for every command on the restored node: the cluster's own are for passphrases. */
let moved: { readonly TKMS_SEALER_SCRYPT_LOG_N?: undefined } = {}
const at = (name: string): string => join(cluster.directory, name)

beforeAll(async () => {
  machine = await mkdtemp(join(tmpdir(), 'tkms-machine-'))
  agent = await startTestAgent(join(machine, 'dstack.sock'), 'the application of the restored node')
  tpm = missing === undefined ? await createTestTpm(machine) : undefined
  cluster = await createTestCluster({
    n: 4,
    t: 2,
    environment: { TKMS_CEREMONY_RETIRE_GRACE_MS: '2000' },
    environmentOf: (name) => (name === 'node-4' ? moved : {}),
  })
  await Promise.all(cluster.nodes.map((node) => node.start()))
  await makeKey(cluster.nodes, KEY)
  identity = at('operator.key')
  const [made] = (await cluster.run(['backup', 'keygen', '--out', identity])) as readonly { recipient: string }[]
  recipient = made?.recipient ?? ''
  const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
  client = await createNodeKmsClient({ cluster: await cluster.file(), signer, transport: pinnedHttp() })
  envelope = await client.encrypt(PLAINTEXT, { key: KEY, owners: [signer.publicKeyId] })
}, TEST_TIMEOUT_MS)

afterAll(async () => {
  await client?.close()
  await cluster?.dispose()
  await agent.close()
  await tpm?.stop()
  await rm(machine, { recursive: true })
})

const backUp = async (node: TestNode, file: string): Promise<unknown> =>
  (await cluster.run(['backup', '--to', file, '--recipient', recipient, '--data-dir', node.directory]))[0]
const drill = async (file: string): Promise<unknown> =>
  (await cluster.run(['backup', 'drill', '--from', file, '--identity-file', identity]))[0]
const restore = async (file: string, directory: string, ...more: readonly string[]): Promise<unknown> =>
  (
    await cluster.run(['restore', '--from', file, '--identity-file', identity, '--data-dir', directory, ...more], moved)
  )[0]

/** What node.yaml of a node says, with another sealer. @returns a file for --config */
async function resealedConfig(of: string, sealer: Readonly<Record<string, string>>): Promise<string> {
  const yaml = await readFile(join(of, 'node.yaml'), 'utf8')
  const lines = Object.entries(sealer).map(([name, value]) => `  ${name}: ${JSON.stringify(value)}\n`)
  const file = at(`${sealer['provider']}.yaml`)
  await writeFile(file, yaml.replace(/^sealer:\n(?: .*\n)+/m, `sealer:\n${lines.join('')}`))
  return file
}

const sealingOf = async (node: TestNode): Promise<unknown> =>
  ((await (await node.admin()).get('/status')) as { readonly sealing: unknown }).sealing

/** Where it was cut short, restoring leaves nothing that the next one does not take back. */
async function restoreOntoTpm(file: string, directory: string, config: string): Promise<unknown> {
  if (tpm === undefined) return restore(file, directory)
  moved = { TKMS_SEALER_SCRYPT_LOG_N: undefined }
  const unfinished = async (): Promise<readonly string[]> =>
    (await readdir(cluster.directory)).filter((name) => name.endsWith('.restoring'))
  const cut = (tool: string, real: string): string =>
    tool === 'tpm2_nvincrement' ? '#!/bin/sh\nkill -9 $PPID\n' : `#!/bin/sh\nexec ${real}/${tool} "$@"\n`
  await withTools(machine, cut, async () => {
    await expect(restore(file, directory, '--config', config)).rejects.toMatchObject({ signal: 'SIGKILL' })
  })
  const left = [(await unfinished()).length, (await countersOf(tpm)).length]
  const restored = await restore(file, directory, '--config', config)
  expect([left, await unfinished(), (await countersOf(tpm)).length]).toEqual([[1, 1], [], 1])
  return restored
}

/** The error of a command that is refused. */
async function refusal(run: Promise<unknown>): Promise<{ readonly code: string; readonly message: string }> {
  const { stdout } = await run.then(
    () => {
      throw new Error('it was not refused')
    },
    (cause: unknown) => cause as { readonly stdout: string },
  )
  return (JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { error: { code: string; message: string } }).error
}

async function refresh(): Promise<void> {
  const others = cluster.nodes.slice(1)
  const admin = await cluster.node(1).admin()
  const { ceremony } = (await admin.post('/ceremonies', { kind: 'reshare', keyName: KEY })) as CeremonyStatus
  await Promise.all(others.map((node) => approve(node, ceremony)))
  await Promise.all(cluster.nodes.map((node) => waitForStatus(node, ceremony, ({ stage }) => stage === 'complete')))
}

/** A backup by itself, so that no other one is beside it. */
async function alone(file: string): Promise<string> {
  const copy = join(await mkdtemp(at('alone-')), 'copy.backup')
  await copyFile(file, copy)
  return copy
}

const acceptLoss = async (restored: unknown, directory: string): Promise<unknown> => {
  const { auditRecords } = restored as { readonly auditRecords: number }
  expect(auditRecords).toBeGreaterThan(0)
  return cluster.run(['audit', 'accept-loss', '--confirm', `${auditRecords}`, '--data-dir', directory], moved)
}

test('a node that lost its disk comes back from its backup and decrypts again', {
  timeout: TEST_TIMEOUT_MS,
}, async () => {
  const node = cluster.node(4)
  expect(await backUp(node, at('running.backup'))).toMatchObject({
    node: node.name,
    keys: [{ keyName: KEY, epoch: 0 }],
  })
  expect(await drill(at('running.backup'))).toMatchObject({ ok: true, node: node.name, keys: [{ epoch: 0 }] })
  await client.decrypt(envelope)
  await node.stop()
  expect(await backUp(node, at('stopped.backup'))).toMatchObject({ keys: [{ keyName: KEY, epoch: 0 }], leftOut: [] })
  expect(await drill(at('stopped.backup'))).toMatchObject({ ok: true })
  expect(await refusal(backUp(node, at('stopped.backup')))).toMatchObject({ code: 'output-exists' })

  const records = await unsealStore(node.directory, { TKMS_SEALER_SCRYPT_LOG_N: '10' })
  const secrets = [
    { name: 'identity', bytes: onlyRecord(records, 'identity') },
    { name: 'node seed', bytes: onlyRecord(records, 'node-seed') },
    { name: 'share', bytes: onlyRecord(records, 'share').slice(-32) },
    ...tlsSecrets(node.name, onlyRecord(records, 'tls')),
  ]
  const traces = await Promise.all(
    ['running.backup', 'stopped.backup'].map(async (name) => ({ name, bytes: await readFile(at(name)) })),
  )
  expect(findLeaks(secrets, traces)).toEqual([])

  const before = await readFile(join(node.directory, 'store/keyring'))
  const config = await resealedConfig(node.directory, { provider: 'tpm2', tcti: tpm?.tcti ?? '' })
  await rename(node.directory, at('burnt'))
  expect(await refusal(restore(at('running.backup'), at('elsewhere')))).toMatchObject({
    code: 'backup-outdated',
    message: expect.stringContaining(at('stopped.backup')) as unknown,
  })
  const restored = await restoreOntoTpm(at('stopped.backup'), at('elsewhere'), config)
  expect(restored).toMatchObject({
    node: node.name,
    keys: [{ keyName: KEY, epoch: 0 }],
    outdated: [],
    peers: [{ state: 'answered' }, { state: 'answered' }, { state: 'answered' }],
  })
  expect(await readFile(at('elsewhere/store/keyring'))).not.toEqual(before)
  expect(await refusal(restore(at('stopped.backup'), at('elsewhere')))).toMatchObject({ code: 'directory-exists' })
  await acceptLoss(restored, at('elsewhere'))
  await rename(at('elsewhere'), node.directory)
  await cluster.node(1).stop()
  await node.start()
  const waits = async (): Promise<unknown> =>
    ((await (await node.admin()).get('/status')) as { readonly restored?: unknown }).restored
  expect(await sealingOf(node)).toBe(tpm === undefined ? 'passphrase' : 'tpm2')
  await expect.poll(waits, POLL).toEqual({ awaited: [cluster.node(1).name] })
  await cluster.node(2).stop()
  expect(await client.decrypt(envelope)).toEqual(PLAINTEXT)
  await Promise.all([cluster.node(1).start(), cluster.node(2).start()])
  await expect.poll(waits, POLL).toBeUndefined()
})

test('a backup that the cluster has left behind gives no share back', { timeout: TEST_TIMEOUT_MS }, async () => {
  const node = cluster.node(4)
  const [old, late] = [await alone(at('stopped.backup')), at('late')]
  await refresh()
  // The share of epoch 0 is still served: it retires, and no backup keeps it.
  expect(await backUp(node, at('late.backup'))).toMatchObject({ keys: [{ keyName: KEY, epoch: 1 }], leftOut: [] })
  expect(await drill(at('late.backup'))).toMatchObject({ ok: true, keys: [{ epoch: 1 }] })
  await node.stop()
  const refused = await refusal(restore(old, late))
  expect(refused).toMatchObject({ code: 'backup-outdated' })
  expect(refused.message).toContain(`${KEY} (epoch 0, the cluster is at 1)`)
  expect(refused.message).toContain('--without-outdated')
  await Promise.all(cluster.nodes.map((other) => other.stop()))
  const known = join(cluster.node(1).directory, 'cluster.json')
  expect(await refusal(restore(old, late, '--cluster', known))).toMatchObject({ code: 'backup-outdated' })

  moved = { TKMS_SEALER_SCRYPT_LOG_N: undefined }
  const inDstack = [
    '--config',
    await resealedConfig(node.directory, { provider: 'dstack', socket: join(machine, 'dstack.sock') }),
  ]
  const restored = await restore(old, late, '--cluster', known, '--without-outdated', ...inDstack)
  expect(restored).toMatchObject({ keys: [], outdated: [{ keyName: KEY, epoch: 0, latestEpoch: 1 }] })
  await acceptLoss(restored, late)
  await rm(node.directory, { recursive: true })
  await rename(late, node.directory)
  await Promise.all(cluster.nodes.map((other) => other.start()))
  expect(await sealingOf(node)).toBe('dstack')
  const admin = await node.admin()
  await expect
    .poll(() => admin.get('/keys'), { timeout: 60_000, interval: 250 })
    .toMatchObject([{ keyName: KEY, epoch: 1, role: 'awaiting-repair', serving: false }])
})

test('what is no whole backup of this cluster is refused, and nothing is written', {
  timeout: TEST_TIMEOUT_MS,
}, async () => {
  const good = await readFile(at('stopped.backup'))
  const directory = at('damaged')
  await mkdir(directory)
  const variant = async (name: string, change: (bytes: Buffer) => Buffer): Promise<string> => {
    await writeFile(join(directory, name), change(Buffer.from(good)))
    return join(directory, name)
  }
  const flipped = (place: number) => (bytes: Buffer) => {
    bytes[place] = (bytes[place] ?? 0) ^ 1
    return bytes
  }
  const header = await variant('header', flipped(60))
  const content = await variant('content', flipped(good.length - 40))
  const cut = await variant('cut', (bytes) => bytes.subarray(0, -1))
  const version = await variant('version', flipped(8))
  for (const file of [header, content, cut]) {
    expect(await refusal(drill(file))).toMatchObject({ code: 'backup-damaged' })
    expect(await refusal(restore(file, at('never')))).toMatchObject({ code: 'backup-damaged' })
  }
  expect((await refusal(drill(cut))).message).toContain('cut short')
  expect(await refusal(drill(version))).toMatchObject({ code: 'backup-version' })

  await cluster.run(['backup', 'keygen', '--out', at('other.key')])
  const args = ['backup', 'drill', '--from', at('stopped.backup'), '--identity-file', at('other.key')]
  expect(await refusal(cluster.run(args))).toMatchObject({ code: 'wrong-identity' })
  const elsewhere = at('elsewhere.json')
  const cards = cluster.nodes.map((node) => join(node.directory, 'card.json'))
  await cluster.run(['cluster', 'new', '--threshold', '2', '--out', elsewhere, ...cards])
  expect(await refusal(restore(at('stopped.backup'), at('never'), '--cluster', elsewhere))).toMatchObject({
    code: 'backup-elsewhere',
  })
  expect((await readdir(cluster.directory)).filter((name) => /never|restoring/.test(name))).toEqual([])
})
