import { generateKeyPairSync, sign } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { selectCurve } from '@tkms/curve-native'
import {
  bytesKey,
  type Cluster,
  type ClusterId,
  configHash,
  decodeNodePublicKey,
  participantIndex,
  Secret,
} from '@tkms/dkg'
import { runKeygen } from '@tkms/dkg/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { clusterPath, pinCluster, writeClusterFile } from '../cluster/cluster-file.ts'
import { loadNodeConfig } from '../config/node-config.ts'
import { createSigner } from '../identity/ed25519-signer.ts'
import { createNodeIdentity, type NodeIdentity } from '../identity/node-identity.ts'
import { newRecord } from '../keys/known-sharing.ts'
import { createShareStore } from '../keys/share-store.ts'
import { withNodeStore } from '../open-node-store.ts'
import { POLICY_TEMPLATE } from '../policy/policy-file.ts'
import type { RecordStore } from '../ports.ts'
import { memoryStore } from '../store/memory-store.fixture.ts'
import { systemClock, systemRng } from '../system.ts'
import { type AgeIdentities, createIdentityFile, readIdentityFile } from './age-file.ts'
import { type BackupCheck, checkBackup } from './check-backup.ts'
import { createBackup, writeBackup } from './create-backup.ts'
import { openBackup } from './open-backup.ts'
import { type Restored, restoreBackup } from './restore.ts'

/** Backup, drill and restore of one node's real records, with keys of a real ceremony. */

const { curve } = selectCurve()
const PASSPHRASE = 'correct horse battery staple'
const NODE_YAML = `profile: development\nname: node-1\nlisten: ['/ip4/127.0.0.1/tcp/1']\nhttp: { tls: false }\nsealer: { scryptLogN: 10 }\n`

let directory: string
let store: RecordStore
let identity: NodeIdentity
let keys: readonly ReturnType<typeof runKeygen>[]
let recipient: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-backup-'))
  store = memoryStore()
  identity = await createNodeIdentity(store, systemRng, { name: 'node-1', hosts: ['127.0.0.1'], nowMs: Date.now() })
  const others = [2, 3].map((index) => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const raw = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(12))
    const signWith = (message: Uint8Array): Uint8Array => new Uint8Array(sign(null, message, privateKey))
    return { index: participantIndex(index), publicKey: decodeNodePublicKey(raw), sign: signWith }
  })
  const self = { index: participantIndex(1), publicKey: identity.publicKey, sign: createSigner(identity.seed) }
  const members = [self, ...others]
  const clusterId = systemRng.bytes(32) as ClusterId
  const seedOf = (): Secret => new Secret(systemRng.bytes(32))
  keys = ['ecies/1', 'ecies/2'].map((keyName) =>
    runKeygen({ curve, members, t: 2, clusterId, purpose: 'ecies-dec', keyName, seedOf }),
  )
  const { newConfig: config } = key(0).spec
  const nodes = members.map(({ index, publicKey }) => ({
    index,
    name: `node-${index}`,
    publicKey,
    multiaddrs: ['/ip4/127.0.0.1/tcp/1'],
    url: `http://127.0.0.1:${index}`,
  }))
  const cluster: Cluster = {
    config,
    configHash: configHash(config),
    nodes,
    certificates: keys.map(({ certificate }) => certificate),
  }
  await pinCluster(store, cluster)
  await writeClusterFile(clusterPath(directory), cluster)
  await writeFile(join(directory, 'node.yaml'), NODE_YAML)
  await writeFile(join(directory, 'policy.yaml'), POLICY_TEMPLATE)
  const shares = createShareStore(store)
  const seen = { reading: { ranMs: 0, totalMs: 0 }, atMs: 0 }
  for (const { certificate, shares: dealt } of keys) {
    await shares.putShare({ certificate, share: dealt.get(participantIndex(1)) })
    await shares.putSharing(newRecord(certificate, seen, { mayErase: true, refusesEarlier: false }))
  }
  const made = await createIdentityFile(0)
  recipient = made.recipient
  await writeFile(
    at('operator.key'),
    made.content.use((bytes) => Uint8Array.from(bytes)),
    { mode: 0o600 },
  )
})
afterEach(() => rm(directory, { recursive: true }))

const at = (name: string): string => join(directory, name)
function key(index: number): ReturnType<typeof runKeygen> {
  const found = keys[index]
  if (found === undefined) throw new Error('the ceremony did not finish')
  return found
}
const identities = (): Promise<AgeIdentities> => readIdentityFile(at('operator.key'))

async function backUp(name: string, nowMs: number = Date.now()): Promise<string> {
  const config = { dataDir: directory, policyFile: at('policy.yaml'), name: 'node-1' }
  const clock = { ...systemClock, nowMs: () => nowMs }
  const { bytes } = await createBackup({ store, config, curve, clock }, [recipient])
  await writeBackup(at(name), bytes)
  return at(name)
}

async function drill(file: string): Promise<readonly BackupCheck[]> {
  return checkBackup(await openBackup(file, await identities()), curve)
}

const restore = async (file: string, options: { readonly configFile?: string } = {}): Promise<Restored> =>
  restoreBackup({
    file,
    identities: await identities(),
    directory: at('restored'),
    withoutOutdated: false,
    env: { TKMS_PASSPHRASE: PASSPHRASE },
    curve,
    onWarning: () => undefined,
    ...options,
  })

/** Puts something else into the place of a share: u8 1 || var CERT || u8 1 || share(32). */
async function changeShare(change: (record: Uint8Array) => Uint8Array): Promise<void> {
  const [id = ''] = await store.list('share')
  const record = await store.get('share', id)
  await store.put('share', id, new Secret(change(record?.use((bytes) => Uint8Array.from(bytes)) ?? new Uint8Array())))
}

describe('a backup', () => {
  test('makes the same node again, sealed anew', async () => {
    const restored = await restore(await backUp('good'))
    expect(restored).toMatchObject({ node: 'node-1', outdated: [], auditRecords: 0 })
    expect(restored.keys.map(({ keyName }) => keyName).toSorted()).toEqual(['ecies/1', 'ecies/2'])
    expect(restored.peers).toEqual([2, 3].map((index) => ({ name: `node-${index}`, state: 'unreachable' })))
    expect((await stat(at('restored'))).mode & 0o777).toBe(0o700)
    const config = await loadNodeConfig({ directory: at('restored'), env: {} })
    await withNodeStore(config, { TKMS_PASSPHRASE: PASSPHRASE }, async (opened) => {
      for (const kind of ['identity', 'node-seed', 'tls', 'pin', 'share', 'sharing'] as const) {
        expect(await opened.list(kind)).toEqual((await store.list(kind)).toSorted())
        for (const id of await opened.list(kind))
          expect(await read(opened, kind, id)).toEqual(await read(store, kind, id))
      }
    })
    for (const name of ['node.yaml', 'policy.yaml', 'cluster.json'])
      expect(await readFile(join(at('restored'), name))).toEqual(await readFile(at(name)))
  })

  test('is sealed by whatever node.yaml names now', async () => {
    await writeFile(at('node.yaml'), NODE_YAML.replace('scryptLogN: 10', 'provider: kms-file'))
    await restore(await backUp('good'))
    expect(await readdir(at('restored'))).toContain('sealer.key')
    const config = await loadNodeConfig({ directory: at('restored'), env: {} })
    await withNodeStore(config, {}, async (opened) => expect(await opened.list('share')).toHaveLength(2))
    expect((await readdir(directory)).filter((name) => name.endsWith('.restoring'))).toEqual([])
  })

  test('holds no open ceremony, no half repair and no share of a destroyed key', async () => {
    await store.put('ceremony', 'aa', new Secret(new Uint8Array(32).fill(1)))
    await store.put('repair', 'bb', new Secret(new Uint8Array(32).fill(2)))
    const { keyId } = (await openBackup(await backUp('before'), await identities())).header.keys[0] ?? {
      keyId: undefined,
    }
    if (keyId === undefined) throw new Error('two keys were backed up')
    const id = bytesKey(keyId)
    // The order alone, as a crash between it and the erasing leaves it.
    await store.put('destroyed', id, new Secret(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)))
    const { header, contents } = await openBackup(await backUp('after'), await identities())
    expect(header.keys).toHaveLength(1)
    expect(header.keys.map((one) => bytesKey(one.keyId))).not.toContain(id)
    const kinds = contents.records.map(({ kind }) => kind)
    expect(kinds.filter((kind) => kind === 'share')).toHaveLength(1)
    expect(kinds).toContain('destroyed')
    expect(new Set<string>(kinds)).not.toContain('ceremony')
    expect(new Set<string>(kinds)).not.toContain('repair')
  })

  test('leaves a damaged share out, and says so', async () => {
    await changeShare((record) => record.subarray(0, -1))
    const config = { dataDir: directory, policyFile: at('policy.yaml'), name: 'node-1' }
    const { bytes, leftOut } = await createBackup({ store, config, curve, clock: systemClock }, [recipient])
    expect(leftOut).toMatchObject([{ kind: 'share', code: 'bad-encoding' }])
    await writeBackup(at('damaged'), bytes)
    expect((await openBackup(at('damaged'), await identities())).header.keys).toHaveLength(1)
  })
})

describe('the drill', () => {
  test('finds every check of a good backup in order', async () => {
    const checks = await drill(await backUp('good'))
    expect(checks.filter(({ ok }) => !ok)).toEqual([])
    // Keys stand in the order of their ids, which are random.
    expect(checks.map(({ what }) => what.replace(/ecies\/./, 'NAME'))).toEqual([
      'identity',
      'roster',
      'certificates',
      'share NAME generation 1 epoch 0',
      'share NAME generation 1 epoch 0',
      'other records',
      'promises',
      'audit',
      'configuration',
    ])
  })

  test('says which share does not fit its certificate, and restore refuses it', async () => {
    await changeShare((record) => {
      record[record.length - 1] = (record.at(-1) ?? 0) ^ 1
      return record
    })
    const file = await backUp('wrong')
    const failed = (await drill(file)).filter(({ ok }) => !ok)
    expect(failed).toMatchObject([
      { what: expect.stringContaining('share ecies/'), detail: expect.stringContaining('self-check-failed') },
    ])
    await expect(restore(file)).rejects.toMatchObject({ code: 'backup-unsound' })
    expect(await readdir(directory)).not.toContain('restored')
  })

  test('says when the roster is of other nodes', async () => {
    const text = await readFile(clusterPath(directory), 'utf8')
    await writeFile(clusterPath(directory), text.replaceAll('"node-1"', '"node-9"'))
    const failed = (await drill(await backUp('renamed'))).filter(({ ok }) => !ok)
    expect(failed).toMatchObject([{ what: 'roster', detail: expect.stringContaining('node-9') }])
  })

  test('says when the configuration or the policy would be refused', async () => {
    await writeFile(at('policy.yaml'), 'version: 1\nkeys: { "*": { rule: nonsense } }\n')
    const failed = (await drill(await backUp('policy'))).filter(({ ok }) => !ok)
    expect(failed).toMatchObject([{ what: 'configuration', detail: expect.stringContaining('bad-config-file') }])
  })
})

describe('restoring', () => {
  test('takes the newest backup of a directory only', async () => {
    const [old, late] = [await backUp('old', 1), await backUp('late', 2)]
    await expect(restore(old)).rejects.toMatchObject({ code: 'backup-outdated', data: { newer: late } })
    await rm(late)
    await restore(old)
  })

  test('refuses an identity file that every user can read, in production', async () => {
    const file = await backUp('good')
    await writeFile(at('production.yaml'), 'profile: production\nname: node-1\nhttp: { tls: true }\n')
    await chmod(at('operator.key'), 0o644)
    await expect(restore(file, { configFile: at('production.yaml') })).rejects.toMatchObject({
      code: 'unsafe-permissions',
    })
    expect(await readdir(directory)).not.toContain('restored')
  })

  test('refuses a configuration of another node, or with its store elsewhere', async () => {
    const file = await backUp('good')
    for (const text of [NODE_YAML.replace('node-1', 'node-2'), `${NODE_YAML}dataDir: /var/lib/elsewhere\n`]) {
      await writeFile(at('other.yaml'), text)
      await expect(restore(file, { configFile: at('other.yaml') })).rejects.toMatchObject({ code: 'backup-elsewhere' })
    }
    expect((await readdir(directory)).filter((name) => name.includes('restor'))).toEqual([])
  })
})

async function read(
  from: RecordStore,
  kind: Parameters<RecordStore['get']>[0],
  id: string,
): Promise<Uint8Array | undefined> {
  return (await from.get(kind, id))?.use((bytes) => Uint8Array.from(bytes))
}
