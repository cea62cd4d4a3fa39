import { execFile } from 'node:child_process'
import { readdir, readlink, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Secret } from '@tkms/dkg'
import { freePorts } from '@tkms/examples/free-ports'
import { createEd25519Signer, type KmsClient } from '@tkms/kms-client'
import { createNodeKmsClient, libp2p, pinnedHttp } from '@tkms/kms-client/node'
import { type CeremonyStatus, connectAdmin } from '@tkms/kms-node'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { DecryptLoad } from '../support/decrypt-load.ts'
import { createTestCluster, makeKey, type TestCluster, type TestNode } from '../support/node-cluster.ts'
import { createServices, finished, procedurePath, type Services } from '../support/services.ts'

/** The procedures of `deploy/procedures` on a cluster of real processes, while clients decrypt all the time. */

const KEY = 'ecies/operated'
const PLAINTEXT = new TextEncoder().encode('sealed before all of it')
const TEST_TIMEOUT_MS = 600_000
const SETTINGS = { TKMS_SEALER_SCRYPT_LOG_N: '10', TKMS_SERVING_WORKERS: '0', TKMS_CEREMONY_RETRANSMIT_MS: '300' }

let cluster: TestCluster
let services: Services
let client: KmsClient
let load: DecryptLoad
const clients: KmsClient[] = []
const harry = (): Pick<TestNode, 'name' | 'directory'> => ({
  name: 'harry',
  directory: join(cluster.directory, 'harry'),
})
const programOf = (node: Pick<TestNode, 'directory'>): Promise<string> => readlink(`${node.directory}.program`)
const clusterFile = (): string => join(cluster.node(1).directory, 'cluster.json')

beforeAll(async () => {
  cluster = await createTestCluster({ n: 4, t: 2, tls: true, environment: SETTINGS })
  services = await createServices({ directory: cluster.directory, environment: SETTINGS })
  const release = await services.release('release-1')
  await Promise.all(
    cluster.nodes.map(async (node) => {
      await services.equip(node, release)
      await services.service(node, 'start')
    }),
  )
  await Promise.all(cluster.nodes.map(({ directory }) => answers(directory)))
  await makeKey(cluster.nodes, KEY)
  const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
  for (const transport of [libp2p(), pinnedHttp()])
    clients.push(await createNodeKmsClient({ cluster: await cluster.file(), signer, transport }))
  ;[client] = clients as [KmsClient]
  load = new DecryptLoad(
    clients,
    await client.encrypt(PLAINTEXT, { key: KEY, owners: [signer.publicKeyId] }),
    PLAINTEXT,
  )
}, TEST_TIMEOUT_MS)

afterAll(async () => {
  await load?.end()
  await Promise.allSettled(clients.map((each) => each.close()))
  await Promise.all([...cluster.nodes, harry()].map((node) => services.service(node, 'stop')))
  await cluster?.dispose()
}, TEST_TIMEOUT_MS)

const answers = (directory: string): Promise<unknown> =>
  vi.waitFor(async () => (await connectAdmin(directory)).get('/status'), { timeout: 120_000, interval: 100 })

/** What the operators of these nodes do while a procedure runs: they approve whatever is proposed. */
async function approving<T>(directories: readonly string[], run: () => Promise<T>): Promise<T> {
  const stop = new AbortController()
  const operator = async (directory: string): Promise<void> => {
    const admin = await connectAdmin(directory)
    try {
      for await (const line of admin.lines('/watch', stop.signal)) {
        const { ceremony, stage } = line as CeremonyStatus
        if (stage === 'proposed') await admin.post(`/ceremonies/${ceremony}/approve`, {})
      }
    } catch (cause) {
      if (!stop.signal.aborted) throw cause
    }
  }
  const operators = directories.map(operator)
  try {
    return await run()
  } finally {
    stop.abort()
    await Promise.allSettled(operators)
  }
}

const inTurn = (to: string): ReturnType<typeof finished> =>
  finished(
    procedurePath('in-turn.sh'),
    [clusterFile(), services.on, '{}', procedurePath('upgrade.sh'), '--to', to, '--yes'],
    services.environment(cluster.node(1)),
  )

test('upgrade.sh, one node after the other: no request fails', { timeout: TEST_TIMEOUT_MS }, async () => {
  const release = await services.release('release-2')
  const before = load.requests
  expect(await inTurn(release)).toMatchObject({ code: 0, stderr: expect.stringContaining('all nodes are done') })
  for (const node of cluster.nodes) {
    expect(await programOf(node)).toBe(release)
    expect(await services.log(node)).not.toContain('stop-failed')
    expect((await services.log(node)).split('"node-started"')).toHaveLength(3)
  }
  expect(load.requests - before).toBeGreaterThan(100)
  expect(load.failures).toEqual([])
})

test('a version that does not start is put back, and no further node is touched', {
  timeout: TEST_TIMEOUT_MS,
}, async () => {
  const broken = await services.release(
    'release-3',
    'if (process.argv[2] === "--version") console.log("3.0.0")\nelse process.exit(1)\n',
  )
  const [first, ...others] = cluster.nodes as [TestNode, ...TestNode[]]
  const pids = await Promise.all(others.map((node) => services.pid(node)))
  const { code, stderr } = await inTurn(broken)
  expect({ code, stderr }).toMatchObject({ code: 1 })
  expect(stderr).toContain(`${first.name} serves with`)
  expect(stderr).toContain('no further node is touched')
  expect(await programOf(first)).toContain('release-2')
  expect(await Promise.all(others.map((node) => services.pid(node)))).toEqual(pids)
  const none = await services.procedure(first, 'upgrade.sh', '--to', join(cluster.directory, 'none'), '--yes')
  expect(none.stderr).toContain('nothing was changed')
  expect(load.failures).toEqual([])
})

test('upgrade.sh stops no node while another one is away, or nobody says yes', {
  timeout: TEST_TIMEOUT_MS,
}, async () => {
  const [one, , , away] = cluster.nodes as [TestNode, TestNode, TestNode, TestNode]
  const pid = await services.pid(one)
  const to = await programOf(one)
  const asked = await services.procedure(one, 'upgrade.sh', '--to', to)
  expect(asked).toMatchObject({ code: 1, stderr: expect.stringContaining('give --yes') })
  await services.service(away, 'stop')
  const refused = await services.procedure(one, 'upgrade.sh', '--to', to, '--yes')
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(`${away.name} not ready`) })
  expect(await services.pid(one)).toBe(pid)
  expect(load.failures).toEqual([])
})

test('replace-node.sh puts another node into the place of one whose disk is gone', {
  timeout: TEST_TIMEOUT_MS,
}, async () => {
  const [one, two, three, dead] = cluster.nodes as [TestNode, TestNode, TestNode, TestNode]
  await rm(dead.directory, { recursive: true })
  const [p2p, http] = await freePorts(2)
  const { directory } = harry()
  await writeFile(`${directory}.pass`, 'the passphrase of harry', { mode: 0o600 })
  const address = ['--listen', `/ip4/127.0.0.1/tcp/${p2p}`, '--http-port', `${http}`]
  const made = ['--name', 'harry', '--profile', 'development', '--passphrase-file', `${directory}.pass`]
  await cluster.run(['init', ...made, ...address, '--data-dir', directory])
  await services.equip(harry(), await programOf(one))

  const card = join(directory, 'card.json')
  const args = ['--remove', dead.name, '--add', card, '--yes']
  const replacing = execFile(procedurePath('replace-node.sh'), args, { env: services.environment(one) })
  let said = ''
  replacing.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const ended = new Promise<number | null>((resolve) => replacing.once('close', resolve))
  await expect.poll(() => said, { timeout: 120_000, interval: 50 }).toContain('--config-hash 0x')
  const [, file = '', hash = ''] = /give (\S+) to harry;.*--config-hash (0x[0-9a-f]{64})/.exec(said) ?? []
  await cluster.run(['cluster', 'join', file, '--config-hash', hash, '--data-dir', directory])
  await services.service(harry(), 'start')
  await answers(directory)
  const members = [two, three, harry()].map((node) => node.directory)
  expect({ code: await approving(members, () => ended), said }).toMatchObject({ code: 0 })
  const [keys] = (await cluster.run(['keys', '--data-dir', directory])) as readonly { epoch: number; role: string }[][]
  expect(keys).toMatchObject([{ epoch: 1, role: 'active' }])
  const again = await services.procedure(one, 'replace-node.sh', ...args)
  expect(again).toMatchObject({ code: 0, stderr: expect.stringContaining(`${KEY} generation 1: nothing to do`) })
  await cluster.run(['cluster', 'remove', dead.name, '--data-dir', one.directory])
  expect(load.failures).toEqual([])
})

test('drill.sh makes one backup that restores, and restore-node.sh restores it', {
  timeout: TEST_TIMEOUT_MS,
}, async () => {
  const [one, two] = cluster.nodes as [TestNode, TestNode]
  const identity = join(cluster.directory, 'operator.key')
  const [{ recipient }] = (await cluster.run(['backup', 'keygen', '--out', identity])) as [{ recipient: string }]
  const old = join(cluster.directory, `${two.name}-20250101T000000Z.backup`)
  await writeFile(old, 'an old one')
  const made = await services.procedure(two, 'drill.sh', 'backup', cluster.directory, recipient, '--yes')
  const file = made.stdout.trim()
  expect((await readdir(cluster.directory)).filter((name) => name.endsWith('.backup'))).toEqual([
    file.slice(cluster.directory.length + 1),
  ])
  expect(await services.procedure(two, 'drill.sh', 'check', file, identity)).toMatchObject({ code: 0 })
  const elsewhere = join(cluster.directory, 'drill')
  const drilled = await services.procedure(two, 'drill.sh', 'restore', file, identity, clusterFile(), elsewhere)
  expect(drilled).toMatchObject({ code: 0, stderr: expect.stringContaining('was erased again') })
  expect(await readdir(cluster.directory)).not.toContain('drill')
  expect(await services.procedure(two, 'drill.sh', 'check', old, identity)).toMatchObject({ code: 1 })

  await services.service(two, 'stop')
  await rename(two.directory, `${two.directory}-burnt`)
  const restored = await services.procedure(two, 'restore-node.sh', '--from', file, '--identity', identity, '--yes')
  expect(restored).toMatchObject({ code: 0, stderr: expect.stringContaining('serves again') })
  expect(await services.procedure(one, 'check-node.sh', '--key', KEY)).toMatchObject({ code: 0 })
  expect(load.failures).toEqual([])
})

test('respond.sh refreshes every key, rotates, and destroys the old one on a quorum', {
  timeout: TEST_TIMEOUT_MS,
}, async () => {
  const [one, two, three] = cluster.nodes as [TestNode, TestNode, TestNode]
  const others = [two, three, harry()].map(({ directory }) => directory)
  const ran = await approving(others, async () => [
    await services.procedure(one, 'respond.sh', 'refresh', '--yes'),
    await services.procedure(one, 'respond.sh', 'rotate', KEY, '--yes'),
  ])
  expect(ran).toMatchObject([{ code: 0 }, { code: 0 }])
  await load.end()
  expect(load.failures).toEqual([])

  const refused = await services.procedure(one, 'respond.sh', 'destroy', KEY, '1')
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('FOR EVER') })
  const orders = []
  for (const node of [one, two, three, harry()])
    orders.push(await services.procedure(node, 'respond.sh', 'destroy', KEY, '1', '--yes'))
  expect(orders).toMatchObject([0, 1, 2, 3].map(() => ({ code: 0 })))
  expect(orders[0]?.stderr).toContain('counts once a quorum')
  expect(orders.at(-1)?.stderr).toMatch(/generation 1 is (?:gone|erased here)/)
})
