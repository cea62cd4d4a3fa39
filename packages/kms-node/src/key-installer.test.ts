import { generateKeyPairSync, sign } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { selectCurve } from '@tkms/curve-native'
import {
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
import { clusterPath, readClusterFile, writeClusterFile } from './cluster/cluster-file.ts'
import { createKeyInstaller } from './key-installer.ts'
import { createKeyTable } from './serve/key-table.ts'
import type { StoredShare } from './store/share-store.ts'
import { systemRng } from './system.ts'

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
  directory = await mkdtemp(join(tmpdir(), 'tkms-installer-'))
})
afterEach(() => rm(directory, { recursive: true }))

test('the certificates of ceremonies that end together are all in the cluster file', async () => {
  const nodes: ClusterNode[] = members.map(({ index, publicKey }) => ({
    index,
    name: `node-${index}`,
    publicKey,
    multiaddrs: ['/ip4/127.0.0.1/tcp/1'],
    url: `http://127.0.0.1:${index}`,
  }))
  const joined = { config, configHash: configHash(config), nodes, certificates: [] }
  const path = clusterPath(directory)
  await writeClusterFile(path, joined)
  const keyTable = createKeyTable({
    curve,
    verify: verifyEd25519,
    self: self.publicKey,
    configHash: joined.configHash,
  })
  const entries: StoredShare[] = []
  const shares = {
    put: async ({ certificate, share }: StoredShare) => {
      entries.push({ certificate, share: share?.use((bytes) => Secret.copyOf(bytes)) })
    },
    list: async () => entries.map(({ certificate, share }) => ({ certificate, share: share && copyOf(share) })),
  }
  const installer = createKeyInstaller({ shares, keyTable, path, cluster: joined })
  await Promise.all(keys.map(({ certificate, shares: held }) => installer.install(certificate, held.get(self.index))))
  const written = await readClusterFile(path)
  expect(new Set(written.certificates.map((bytes) => Buffer.from(bytes).toString('hex')))).toEqual(
    new Set(keys.map(({ certificate }) => Buffer.from(certificate).toString('hex'))),
  )
  expect(await readdir(directory)).toEqual(['cluster.json'])
})

const copyOf = (secret: Secret): Secret => secret.use((bytes) => Secret.copyOf(bytes))
