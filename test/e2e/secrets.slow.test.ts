import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  clusterKeys,
  encodeScalar,
  lagrangeCoefficients,
  nobleCurve,
  ORDER,
  Secret,
  type VerifiedKey,
  verificationShare,
  verifyEd25519,
} from '@tkms/dkg'
import { createEd25519Signer } from '@tkms/kms-client'
import { createNodeKmsClient, libp2p } from '@tkms/kms-client/node'
import { connectAdmin, createLog, loadNodeConfig, openSealer, readClusterFile, startNode } from '@tkms/kms-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createRecordingRng, dealerSecrets, type RecordingRng } from '../support/ceremony-secrets.ts'
import { findLeaks, type KnownSecret, type Trace } from '../support/leak-search.ts'
import { createTestCluster, makeKey, type Operated, type TestCluster, type TestNode } from '../support/node-cluster.ts'
import { descendants, hasProc, readProc } from '../support/processes.ts'
import { recordTcp, type TcpRecorder } from '../support/tcp-recorder.ts'
import {
  commitmentsIn,
  onlyRecord,
  shareIn,
  tlsSecrets,
  type UnsealedRecord,
  unsealStore,
} from '../support/unsealed-store.ts'

const N = 3
const T = 2
const KEY_NAME = 'ecies/watched'
const ENVIRONMENT = { TKMS_SEALER_SCRYPT_LOG_N: '10', TKMS_LOG_LEVEL: 'trace' }
const RUN_TIMEOUT_MS = 180_000

/** One run of a whole cluster with everything it showed to the outside, and every secret in it. */
let cluster: TestCluster
const recorders: TcpRecorder[] = []
const traces: Trace[] = []
const generators: RecordingRng[] = []
const clientSeed = crypto.getRandomValues(new Uint8Array(32))
let stores: readonly (readonly UnsealedRecord[])[] = []
let key: VerifiedKey
let secrets: readonly KnownSecret[] = []
let ceremonySecrets: readonly KnownSecret[] = []

const keep = (name: string, content: string | Uint8Array): void => {
  traces.push({ name, bytes: typeof content === 'string' ? Buffer.from(content) : content })
}

beforeAll(async () => {
  cluster = await createTestCluster({ n: N, t: T, environment: ENVIRONMENT })
  await announceRecorders()
  await makeKeyInThisProcess()
  await useRealProcesses()
  await collect()
}, RUN_TIMEOUT_MS)

afterAll(async () => {
  await Promise.all(recorders.map((recorder) => recorder.close()))
  await cluster.dispose()
})

/** Every address in the cluster files becomes a recording proxy's: addresses are no part of what is pinned. */
async function announceRecorders(): Promise<void> {
  const first = cluster.node(1)
  const text = await readFile(join(first.directory, 'cluster.json'), 'utf8')
  const ports = new Map<string, string>()
  for (const port of new Set([...text.matchAll(/(?:tcp\/|127\.0\.0\.1:)(\d+)/g)].flatMap(([, found]) => found ?? []))) {
    const recorder = await recordTcp(Number(port))
    recorders.push(recorder)
    ports.set(port, `${recorder.port}`)
  }
  const announced = text.replaceAll(
    /(tcp\/|127\.0\.0\.1:)(\d+)/g,
    (_, before: string, port: string) => `${before}${ports.get(port)}`,
  )
  for (const { directory } of cluster.nodes) await writeFile(join(directory, 'cluster.json'), announced)
}

/** Key generation by nodes of this process, whose every random byte is recorded; their engines are processes of their own. */
async function makeKeyInThisProcess(): Promise<void> {
  const running = await Promise.all(cluster.nodes.map(startRecorded))
  const operated = cluster.nodes.map(
    ({ name, directory }): Operated => ({ name, directory, admin: () => connectAdmin(directory), log: () => '' }),
  )
  const statuses = makeKey(operated, KEY_NAME)
  await watchProcesses(operated, process.pid)
  keep('ceremony status', JSON.stringify(await statuses))
  await Promise.all(running.map((node) => node.stop()))
}

async function startRecorded(node: TestNode): Promise<{ stop(): Promise<void> }> {
  const rng = createRecordingRng()
  generators.push(rng)
  const config = await loadNodeConfig({ directory: node.directory, env: ENVIRONMENT })
  const destination = { write: (line: string) => keep(`log of ${node.name}`, line) }
  return startNode({
    config,
    sealer: await openSealer({ config, env: {}, rng }),
    log: createLog({ level: 'trace', node: node.name, destination }),
    rng,
  })
}

/** Keeps arguments and environment of every process at every change of a ceremony, until all nodes have a key. */
async function watchProcesses(nodes: readonly Operated[], root: number): Promise<void> {
  const stop = new AbortController()
  const complete = new Set<string>()
  await Promise.all(
    nodes.map(async ({ name, admin }) => {
      for await (const status of (await admin()).lines('/watch', stop.signal)) {
        keep(`admin socket of ${name}`, JSON.stringify(status))
        await keepProcesses(await descendants(root))
        if ((status as { stage: string }).stage !== 'complete') continue
        complete.add(name)
        return
      }
    }),
  )
  stop.abort()
  expect(complete.size).toBe(nodes.length)
}

async function keepProcesses(pids: readonly number[]): Promise<void> {
  for (const pid of pids)
    for (const file of ['cmdline', 'environ']) keep(`${file} of process ${pid}`, await readProc(pid, file))
}

/** The same stores under processes of their own: serve, die, come back, make another key. */
async function useRealProcesses(): Promise<void> {
  const [victim, ...others] = cluster.nodes
  if (victim === undefined) throw new Error('no node')
  await Promise.all(cluster.nodes.map((node) => node.start()))
  await decryptEverywhere()
  await victim.kill()
  await victim.start()
  const statuses = makeKey(cluster.nodes, 'ecies/second')
  await watchProcesses(cluster.nodes, process.pid)
  keep('second ceremony', JSON.stringify(await statuses))
  await decryptEverywhere()
  for (const node of cluster.nodes) {
    const options = ['--data-dir', node.directory]
    for (const command of [['keys'], ['status'], ['ceremony', 'status'], ['cluster', 'show']])
      keep(`output of ${command.join(' ')}`, JSON.stringify(await cluster.run([...command, ...options])))
  }
  await Promise.all([victim.kill(), ...others.map((node) => node.stop())])
}

async function decryptEverywhere(): Promise<void> {
  const signer = createEd25519Signer(new Secret(Uint8Array.from(clientSeed)))
  const plaintext = Buffer.from('what the owner wants to read')
  for (const transport of [undefined, libp2p()]) {
    const kms = await createNodeKmsClient({ cluster: await cluster.file(), signer, ...(transport && { transport }) })
    try {
      const envelope = await kms.encrypt(plaintext, { key: KEY_NAME, owners: [signer.publicKeyId] })
      keep('envelope', envelope.toBytes())
      expect(Buffer.from(await kms.decrypt(envelope))).toEqual(plaintext)
    } finally {
      await kms.close()
    }
  }
}

async function collect(): Promise<void> {
  const known = await readClusterFile(join(cluster.node(1).directory, 'cluster.json'))
  const found = clusterKeys(nobleCurve, verifyEd25519, known).find(({ keyName }) => keyName === KEY_NAME)
  if (found === undefined) throw new Error('the key is not in the cluster file')
  key = found
  for (const node of cluster.nodes) {
    keep(`log of ${node.name}`, node.log())
    for (const path of await filesBelow(node.directory)) keep(path, await readFile(path))
  }
  keep('cluster file', await readFile(join(cluster.directory, 'cluster.json')))
  for (const [at, recorder] of recorders.entries()) keep(`wire ${at}`, recorder.recorded())
  stores = await Promise.all(cluster.nodes.map(({ directory }) => unsealStore(directory, ENVIRONMENT)))
  ceremonySecrets = stores.flatMap(dealerSecretsOf)
  secrets = [...ceremonySecrets, ...(await lastingSecrets())]
}

async function filesBelow(directory: string): Promise<readonly string[]> {
  const paths = (await readdir(directory, { recursive: true })).map((path) => join(directory, path))
  const kinds = await Promise.all(paths.map((path) => stat(path)))
  return paths.filter((_, at) => kinds[at]?.isFile())
}

function dealerSecretsOf(records: readonly UnsealedRecord[], at: number): readonly KnownSecret[] {
  const commitment = commitmentsIn(records, key).get(at + 1)
  const { drawn } = generators[at] ?? { drawn: [] }
  if (commitment === undefined) throw new Error(`node-${at + 1} dealt nothing`)
  return dealerSecrets({ name: `node-${at + 1}`, drawn, nodeSeed: onlyRecord(records, 'node-seed'), commitment }, key)
}

async function lastingSecrets(): Promise<readonly KnownSecret[]> {
  const perNode = cluster.nodes.map(async ({ name, index }, at) => {
    const records = stores[at] ?? []
    const drawn = (generators[at]?.drawn ?? []).filter(({ length }) => length === 32)
    return [
      { name: `${name} passphrase`, bytes: await readFile(join(cluster.directory, `${name}.passphrase`)) },
      { name: `${name} identity seed`, bytes: onlyRecord(records, 'identity') },
      { name: `${name} node seed`, bytes: onlyRecord(records, 'node-seed') },
      { name: `${name} share of index ${index}`, bytes: shareIn(records, key) },
      ...secondShares(name, records),
      ...tlsSecrets(name, onlyRecord(records, 'tls')),
      ...drawn.map((bytes, draw) => ({ name: `${name} draw ${draw}`, bytes })),
    ]
  })
  return [
    ...(await Promise.all(perNode)).flat(),
    { name: 'the key that nobody holds', bytes: groupSecret() },
    { name: 'signer seed of the client', bytes: clientSeed },
  ]
}

const secondShares = (name: string, records: readonly UnsealedRecord[]): readonly KnownSecret[] =>
  records
    .filter(({ kind }) => kind === 'share')
    .map(({ id, bytes }) => ({ name: `${name} share of ${id.slice(0, 8)}`, bytes: bytes.slice(-32) }))

/** Lagrange at 0 over all shares: what no process ever computed. */
function groupSecret(): Uint8Array {
  const members = key.config.members.map(({ index }) => index)
  const coefficients = lagrangeCoefficients(members)
  const sum = coefficients.reduce((total, coefficient, at) => {
    const share = Buffer.from(shareIn(stores[at] ?? [], key)).toString('hex')
    return (total + coefficient * BigInt(`0x${share}`)) % ORDER
  }, 0n)
  return encodeScalar(sum)
}

test('the secrets are the real ones: shares match the certificate, and the group secret its key', () => {
  for (const [at, { index }] of key.config.members.entries()) {
    const share = new Secret(shareIn(stores[at] ?? [], key))
    expect(nobleCurve.mulBaseSecret(share)).toEqual(verificationShare(nobleCurve, key.commitment, index))
  }
  expect(nobleCurve.mulBaseSecret(new Secret(groupSecret()))).toEqual(key.groupKey)
  expect(ceremonySecrets.filter(({ name }) => name.includes('coefficient'))).toHaveLength(N * T)
})

test('no log, output, file, argument, environment or wire has a secret in any form', () => {
  for (const kind of [
    'log of',
    'wire',
    'output of',
    'admin socket',
    'keyring',
    ...(hasProc ? ['cmdline of', 'environ of'] : []),
  ])
    expect(traces.filter(({ name, bytes }) => name.includes(kind) && bytes.length > 0)).not.toEqual([])
  expect(findLeaks(secrets, traces)).toEqual([])
})

test.for(['hex', 'raw', 'base64', 'decimal'] as const)('the search finds a secret planted as %s', (form) => {
  const [planted] = ceremonySecrets
  if (planted === undefined) throw new Error('no secret')
  const raw = Buffer.from(planted.bytes)
  const text = {
    hex: raw.toString('hex'),
    raw,
    base64: Buffer.concat([Buffer.from('?'), raw]).toString('base64'),
    decimal: `${BigInt(`0x${raw.toString('hex')}`)}`,
  }
  const bytes = Buffer.concat([Buffer.from('{"msg":"'), Buffer.from(text[form]), Buffer.from('"}')])
  const leaks = findLeaks(secrets, [...traces, { name: 'a planted log line', bytes }])
  expect(leaks).toContainEqual({
    secret: planted.name,
    form: expect.stringContaining(form) as unknown,
    trace: 'a planted log line',
  })
})

test('after completion nothing that can still be decrypted opens a stored dealing', () => {
  for (const records of stores) {
    const names = records.filter(({ kind }) => kind === 'ceremony').map(({ id }) => id)
    expect(names.filter((id) => !id.endsWith('.archive'))).toEqual([])
    const opened = records.map(({ kind, id, bytes }) => ({ name: `${kind} ${id}`, bytes }))
    expect(findLeaks(ceremonySecrets, opened)).toEqual([])
  }
})
