import { generateKeyPairSync, sign } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { selectCurve } from '@tkms/curve-native'
import {
  type Cluster,
  type ClusterId,
  type ClusterNode,
  configHash,
  decodeNodePublicKey,
  participantIndex,
  Secret,
  verifyEd25519,
} from '@tkms/dkg'
import { runKeygen } from '@tkms/dkg/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createClusterKeeper } from '../cluster/cluster-keeper.ts'
import { clusterPath, readClusterFile, writeClusterFile } from '../cluster/cluster-file.ts'
import type { RecordStore } from '../ports.ts'
import { memoryStore } from '../store/memory-store.fixture.ts'
import { systemClock, systemRng } from '../system.ts'
import { type Keys, openKeys } from './open-keys.ts'

const { curve } = selectCurve()
const clusterId = systemRng.bytes(32) as ClusterId
const members = [1, 2, 3].map((index) => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  return {
    index: participantIndex(index),
    publicKey: decodeNodePublicKey(new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(12))),
    sign: (message: Uint8Array) => new Uint8Array(sign(null, message, privateKey)),
  }
})
const keygen = (keyName: string): ReturnType<typeof runKeygen> =>
  runKeygen({
    curve,
    members,
    t: 2,
    clusterId,
    purpose: 'ecies-dec',
    keyName,
    seedOf: () => new Secret(systemRng.bytes(32)),
  })
const keys = [keygen('ecies/1'), keygen('ecies/2'), keygen('ecies/3')]
const [self] = members
const config = keys[0]?.spec.newConfig
if (self === undefined || config === undefined) throw new Error('the ceremony did not finish')

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-keys-'))
})
afterEach(() => rm(directory, { recursive: true }))

const nodes: ClusterNode[] = members.map(({ index, publicKey }) => ({
  index,
  name: `node-${index}`,
  publicKey,
  multiaddrs: ['/ip4/127.0.0.1/tcp/1'],
  url: `http://127.0.0.1:${index}`,
}))
const joined: Cluster = { config, configHash: configHash(config), nodes, certificates: [] }

const open = (store: RecordStore, cluster: Cluster): Promise<Keys> =>
  openKeys({
    curve,
    store,
    clusterKeeper: createClusterKeeper({ path: clusterPath(directory), cluster, curve, verify: verifyEd25519 }),
    dataDir: directory,
    sign: self.sign,
    self: self.publicKey,
    clock: systemClock,
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
    retireGraceMs: 1000,
  })
const word = { approvedHere: true, mayErase: true }
const hexOf = (certificates: readonly Uint8Array[]): Set<string> =>
  new Set(certificates.map((bytes) => Buffer.from(bytes).toString('hex')))

test('the certificates of ceremonies that end together are all in the cluster file', async () => {
  const path = clusterPath(directory)
  const store = memoryStore()
  await writeClusterFile(path, joined)
  const opened = await open(store, joined)
  await Promise.all(
    keys.map(({ certificate, shares }) => opened.keeper.install(certificate, shares.get(self.index), word)),
  )
  const written = await readClusterFile(path)
  expect(hexOf(written.certificates)).toEqual(hexOf(keys.map(({ certificate }) => certificate)))
  expect(await readdir(directory)).toEqual(['cluster.json'])
  await opened.stop()
})

test('what a crash kept out of the cluster file is added, what the file has beyond the store is learned', async () => {
  const [first, second] = keys
  if (first === undefined || second === undefined) throw new Error('three keys were made')
  const store = memoryStore()
  const before = await open(store, joined)
  await before.keeper.install(first.certificate, first.shares.get(self.index), word)
  await before.stop()
  const cluster = { ...joined, certificates: [second.certificate] }
  await writeClusterFile(clusterPath(directory), cluster)
  const opened = await open(store, cluster)
  expect(opened.directory.list()).toMatchObject([
    { keyName: 'ecies/1', role: 'active', serving: true, index: 1 },
    { keyName: 'ecies/2', role: 'awaiting-repair', serving: false },
  ])
  const { certificates } = await readClusterFile(clusterPath(directory))
  expect(hexOf(certificates)).toEqual(hexOf([first.certificate, second.certificate]))
  await opened.stop()
})

test('serves nothing before it is opened', async () => {
  const [first] = keys
  if (first === undefined) throw new Error('three keys were made')
  await writeClusterFile(clusterPath(directory), joined)
  const opened = await open(memoryStore(), joined)
  const { keyId } = await opened.keeper.install(first.certificate, first.shares.get(self.index), word)
  const ask = (): string => opened.table.lender('ecies-dec').find(keyId, undefined).kind
  expect([ask(), opened.directory.problem()]).toEqual(['not-ready', 'starting'])
  opened.keeper.open()
  expect([ask(), opened.directory.problem()]).toEqual(['found', undefined])
  await opened.stop()
  expect(ask()).toBe('unknown-key')
})
