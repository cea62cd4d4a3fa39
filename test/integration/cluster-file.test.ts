import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { addCertificate, type Cluster, configHash, parseCluster, type VerifiedKey } from '@tkms/dkg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  clusterPath,
  pinCluster,
  readClusterFile,
  writeClusterFile,
} from '../../packages/kms-node/src/cluster/cluster-file.ts'
import { type ClusterKeeper, createClusterKeeper } from '../../packages/kms-node/src/cluster/cluster-keeper.ts'
import {
  type ClusterOperations,
  createClusterOperations,
  removeFromClusterFile,
  updateClusterFile,
} from '../../packages/kms-node/src/cluster/update-cluster.ts'
import { memoryStore } from '../../packages/kms-node/src/store/memory-store.fixture.ts'
import { keygenByHand, reshareByHand } from '../support/hand-made.ts'
import {
  born,
  committee,
  curve,
  degraded,
  degradedHash,
  genesis,
  grown,
  keysOf,
  member,
  moved,
  nodes,
  signers,
  verify,
} from '../support/cluster-members.ts'

const refused = (code: string): unknown => expect.objectContaining({ code })
const one = member(1)

describe('the file in the data directory', () => {
  let directory: string
  let path: string
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tkms-book-'))
    path = clusterPath(directory)
    await writeClusterFile(path, born)
  })
  afterEach(() => rm(directory, { recursive: true }))

  const operate = (): { readonly keeper: ClusterKeeper; readonly operations: ClusterOperations } => {
    const keeper = createClusterKeeper({ path, cluster: born, curve, verify })
    const learn = async (certificates: readonly Uint8Array[], accepted: readonly Uint8Array[]): Promise<void> => {
      for (const certificate of certificates) await keeper.addCertificate(certificate, accepted)
    }
    const keys = (): VerifiedKey[] => keysOf(keeper.current(), [degradedHash])
    return {
      keeper,
      operations: createClusterOperations({ keeper, self: one.index, curve, verify, keys, open: () => [], learn }),
    }
  }
  const newerFile = async (cluster: Cluster): Promise<string> => {
    const file = join(directory, 'newer.json')
    await writeClusterFile(file, cluster)
    return file
  }

  test('of a running node takes in entries and certificates, and is whole at every change', async () => {
    const { keeper, operations } = operate()
    const seen: Cluster[] = []
    keeper.onChange((cluster) => seen.push(cluster))
    const update = await operations.update(await newerFile(grown))
    expect(update).toEqual({ added: ['node-6', 'node-7'], changed: [], removed: [], certificates: 1 })
    expect(await readClusterFile(path)).toEqual(keeper.current())
    expect(keysOf(keeper.current()).map(({ epoch }) => epoch)).toEqual([1])
    expect(seen.at(-1)).toEqual(keeper.current())
    const { mtimeMs } = await stat(path)
    expect(await operations.update(await newerFile(born))).toEqual({
      added: [],
      changed: [],
      removed: [],
      certificates: 0,
    })
    expect((await stat(path)).mtimeMs).toBe(mtimeMs)
    await operations.remove('node-2')
    expect((await readClusterFile(path)).nodes.map(({ index }) => index)).toEqual([1, 3, 4, 5, 6, 7])
    expect((await readClusterFile(path)).configHash).toEqual(born.configHash)
  })

  test('changes that come together are all kept', async () => {
    const { keeper } = operate()
    await Promise.all([
      keeper.add(nodes(6)),
      keeper.addCertificate(moved.bytes),
      keeper.add(nodes(7)),
      keeper.add(nodes(6, 8)),
    ])
    const written = await readClusterFile(path)
    expect(written.nodes.map(({ index }) => index)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect(written.certificates).toHaveLength(addCertificate(curve, verify, born, moved.bytes).certificates.length)
  })

  test('takes no key that clients would refuse: of a name that another committee holds, or without its way from the pin', async () => {
    const { keeper } = operate()
    const { spec } = moved
    const named = { ...genesis.spec, kind: 'keygen', epoch: 0, keyName: 'ecies/prized' } as const
    const prized = keygenByHand(named, signers(1, 2, 3, 4, 5))
    const taken = keygenByHand({ ...named, generation: 2, newConfig: spec.newConfig }, moved.members)
    for (const { bytes } of [moved, prized]) await keeper.addCertificate(bytes)
    const accepted = [configHash(committee(3, 3, 4, 6, 7))]
    await expect(keeper.addCertificate(taken.bytes, accepted)).rejects.toEqual(refused('bad-certificate'))
    const lone = reshareByHand(keygenByHand({ ...named, keyName: 'ecies/lone' }, genesis.members), moved.members, 3)
    await expect(keeper.addCertificate(lone.bytes, accepted)).rejects.toEqual(refused('bad-certificate'))
    expect(keysOf(await readClusterFile(path))).toHaveLength(2)
  })

  test('stays as it was when an edit is refused', async () => {
    const { keeper, operations } = operate()
    const before = await readFile(path)
    await expect(operations.remove('node-1')).rejects.toEqual(refused('own-entry'))
    await expect(operations.remove('node-3')).rejects.toEqual(refused('still-member'))
    const renamed = {
      ...born,
      nodes: born.nodes.map((node) => (node.index === 1 ? { ...node, name: 'mallory', revision: 1 } : node)),
    }
    await expect(operations.update(await newerFile(renamed))).rejects.toEqual(refused('cluster-entry-differs'))
    await expect(operations.update(join(directory, 'nowhere.json'))).rejects.toEqual(refused('bad-cluster-file'))
    const bad = (cluster: Cluster): Cluster => ({ ...cluster, nodes: [...cluster.nodes, ...nodes(1)] })
    await expect(keeper.change(bad)).rejects.toEqual(refused('bad-cluster-file'))
    const forged = Uint8Array.from(moved.bytes)
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1
    const withForged = { ...grown, certificates: [genesis.bytes, forged] }
    await expect(operations.update(await newerFile(withForged))).rejects.toEqual(refused('bad-certificate'))
    expect(await readFile(path)).toEqual(before)
  })

  test('of a node that does not run is changed by the same rules, against the pin', async () => {
    const store = memoryStore()
    const node = { store, dataDir: directory, curve, verify }
    await expect(updateClusterFile(node, one, grown)).rejects.toEqual(refused('cluster-not-joined'))
    await pinCluster(store, born)
    expect(await updateClusterFile(node, one, grown)).toMatchObject({ added: ['node-6', 'node-7'], certificates: 1 })
    await expect(removeFromClusterFile(node, one, 'node-1')).rejects.toEqual(refused('own-entry'))
    await expect(removeFromClusterFile(node, one, 'node-3')).rejects.toEqual(refused('still-member'))
    expect(await removeFromClusterFile(node, one, 'node-5')).toMatchObject({ removed: ['node-5'] })
    expect((await readClusterFile(path)).nodes.map(({ index }) => index)).toEqual([1, 2, 3, 4, 6, 7])
    expect(parseCluster(JSON.parse(await readFile(path, 'utf8'))).configHash).toEqual(born.configHash)
  })

  test('follows a degraded hand-over only where it was accepted, and then for good', async () => {
    const newer = { ...born, nodes: nodes(1, 2, 3, 4, 5, 8), certificates: [genesis.bytes, degraded.bytes] }
    const { keeper, operations } = operate()
    const file = await newerFile(newer)
    await expect(operations.update(file)).rejects.toEqual(refused('degraded-certificate'))
    expect(await operations.update(file, [degradedHash])).toMatchObject({ added: ['node-8'], certificates: 1 })
    expect(await operations.update(file)).toMatchObject({ added: [], certificates: 0 })
    const later = reshareByHand(degraded, signers(3, 4, 8), 2)
    await keeper.addCertificate(later.bytes)
    expect(keysOf(keeper.current(), [degradedHash]).map(({ epoch }) => epoch)).toEqual([2])
  })

  test('a stopped node follows it by the same rule', async () => {
    const store = memoryStore()
    const node = { store, dataDir: directory, curve, verify }
    const newer = { ...born, nodes: nodes(1, 2, 3, 4, 5, 8), certificates: [genesis.bytes, degraded.bytes] }
    await pinCluster(store, born)
    await expect(updateClusterFile(node, one, newer)).rejects.toEqual(refused('degraded-certificate'))
    expect(await updateClusterFile(node, one, newer, [degradedHash])).toMatchObject({ certificates: 1 })
    await expect(removeFromClusterFile(node, one, 'node-3')).rejects.toEqual(refused('still-member'))
    expect(await removeFromClusterFile(node, one, 'node-5')).toMatchObject({ removed: ['node-5'] })
  })
})
