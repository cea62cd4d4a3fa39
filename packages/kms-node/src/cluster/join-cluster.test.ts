import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Cluster, decodeNodePublicKey } from '@tkms/dkg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { initialiseNode } from '../initialise.ts'
import { withNodeStore } from '../open-node-store.ts'
import { systemRng } from '../system.ts'
import {
  clusterPath,
  readClusterFile,
  readJoinedCluster,
  writeClusterFile,
  writeNewClusterFile,
} from './cluster-file.ts'
import { createCluster, joinCluster } from './join-cluster.ts'
import { formatNodeCard, parseNodeCard } from './node-card.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-join-'))
})
afterEach(() => rm(directory, { recursive: true }))

const env = (): Record<string, string> => ({
  TKMS_PASSPHRASE: 'correct horse battery',
  TKMS_SEALER_SCRYPT_LOG_N: '10',
})

/** The card of a node that exists on paper only. */
function strangerCard(name: string): ReturnType<typeof parseNodeCard> {
  const spki = generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' })
  const publicKey = decodeNodePublicKey(new Uint8Array(spki.subarray(12)))
  const card = { name, publicKey, multiaddrs: ['/ip4/127.0.0.1/tcp/1'], url: `http://127.0.0.1:${name.length}` }
  return parseNodeCard(formatNodeCard(card), name)
}

test('a cluster file with a certificate that does not hold is not joined, the same file without it is', async () => {
  const { config, card } = await initialiseNode({
    directory,
    name: 'alice',
    profile: 'development',
    listen: ['/ip4/127.0.0.1/tcp/7001'],
    announce: [],
    httpHost: '127.0.0.1',
    httpPort: 7443,
    tls: false,
    env: env(),
  })
  const cards = [parseNodeCard(card, 'alice'), strangerCard('bob'), strangerCard('carol')]
  const cluster = createCluster(cards, { threshold: 2, rng: systemRng })
  await withNodeStore(config, env(), async (store) => {
    const forged = { ...cluster, certificates: [Uint8Array.of(0, 0, 0, 1, 2)] }
    await expect(joinCluster(store, config, forged)).rejects.toMatchObject({ code: 'bad-certificate' })
    expect(await store.list('pin')).toEqual([])
    await expect(readClusterFile(clusterPath(directory))).rejects.toMatchObject({ code: 'bad-cluster-file' })
    expect(await joinCluster(store, config, cluster)).toMatchObject({ index: 1, name: 'alice' })
  })
  expect((await readClusterFile(clusterPath(directory))).configHash).toEqual(cluster.configHash)
})

test('a new cluster file replaces nothing', async () => {
  const create = (): Cluster =>
    createCluster([strangerCard('bob'), strangerCard('carol'), strangerCard('dave')], { threshold: 2, rng: systemRng })
  const path = join(directory, 'cluster.json')
  const first = create()
  await writeNewClusterFile(path, first)
  await expect(writeNewClusterFile(path, create())).rejects.toMatchObject({ code: 'output-exists' })
  expect((await readClusterFile(path)).configHash).toEqual(first.configHash)
  const nowhere = join(directory, 'missing', 'cluster.json')
  await expect(writeNewClusterFile(nowhere, first)).rejects.toMatchObject({ code: 'cannot-write' })
})

test('a node that joined nothing says so, one whose cluster file was swapped names the config hash it joined', async () => {
  const { config, card } = await initialiseNode({
    directory,
    name: 'alice',
    profile: 'development',
    listen: ['/ip4/127.0.0.1/tcp/7001'],
    announce: [],
    httpHost: '127.0.0.1',
    httpPort: 7443,
    tls: false,
    env: env(),
  })
  const cards = [parseNodeCard(card, 'alice'), strangerCard('bob'), strangerCard('carol')]
  const [joined, other] = [1, 2].map(() => createCluster(cards, { threshold: 2, rng: systemRng }))
  if (joined === undefined || other === undefined) throw new Error('two clusters')
  await withNodeStore(config, env(), async (store) => {
    await expect(readJoinedCluster(store, directory)).rejects.toMatchObject({ code: 'cluster-not-joined' })
    await joinCluster(store, config, joined)
    expect((await readJoinedCluster(store, directory)).configHash).toEqual(joined.configHash)
    await writeClusterFile(clusterPath(directory), other)
    const pinned = `0x${Buffer.from(joined.configHash).toString('hex')}`
    await expect(readJoinedCluster(store, directory)).rejects.toMatchObject({
      code: 'cluster-changed',
      data: { pinned },
    })
  })
})
