import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Cluster,
  clusterKeys,
  type Curve,
  type NodePublicKey,
  type SignMessage,
  verifyEd25519 as verifyBuilt,
} from '@tkms/dkg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { configHash } from '../../packages/dkg/src/ceremony/config.ts'
import { clusterPath, readClusterFile, writeClusterFile } from '../../packages/kms-node/src/cluster/cluster-file.ts'
import { createClusterKeeper } from '../../packages/kms-node/src/cluster/cluster-keeper.ts'
import { type Keys, openKeys } from '../../packages/kms-node/src/keys/open-keys.ts'
import type { RecordStore } from '../../packages/kms-node/src/ports.ts'
import { memoryStore } from '../../packages/kms-node/src/store/memory-store.fixture.ts'
import { systemClock } from '../../packages/kms-node/src/system.ts'
import { type HandMade, keygenByHand, reshareByHand } from '../support/hand-made.ts'
import { shareOf } from '../support/key-bench.ts'
import { createMovingCluster } from '../support/moving-cluster.ts'

/** Protocol 4: who may begin a key. The keys of a node and its cluster file, with real signatures. */

const world = createMovingCluster(6)
const { genesis } = world
const first = world.members(1, 2, 3, 4, 5)
const second = world.members(2, 3, 4, 6)
const [, , self] = first
if (self === undefined) throw new Error('five members')
const moved = reshareByHand(genesis, second, 2)
const prizedSpec = { ...genesis.spec, kind: 'keygen', epoch: 0, keyName: 'ecies/prized' } as const
const prized = keygenByHand(prizedSpec, first)
/** By a committee that was given the other key only. */
const taken = keygenByHand({ ...prizedSpec, generation: 2, newConfig: moved.spec.newConfig }, second)
/** A name whose first generation known is the third one, by a committee that another key led to. */
const late = keygenByHand(
  { ...prizedSpec, keyName: 'ecies/late', generation: 3, newConfig: moved.spec.newConfig },
  second,
)
const third = world.members(1, 2, 3, 6)
const prizedToThird = reshareByHand(prized, third, 2)
const before = keygenByHand({ ...late.spec, generation: 1, newConfig: prizedToThird.spec.newConfig }, third)
const beforeMoved = reshareByHand(before, second, 2)
const prizedMoved = reshareByHand(prized, second, 2)
const curve = world.world.curve as unknown as Curve
const born = { ...world.fileWith(), certificates: [] } as unknown as Cluster

let directory: string
let store: RecordStore
let keys: Keys
let logged: string[]
const open = async (cluster: Cluster): Promise<void> => {
  keys = await openKeys({
    curve,
    store,
    clusterKeeper: createClusterKeeper({ path: clusterPath(directory), cluster, curve, verify: verifyBuilt }),
    dataDir: directory,
    self: self.publicKey as unknown as NodePublicKey,
    sign: self.sign as SignMessage,
    clock: systemClock,
    log: { info: () => undefined, warn: (_fields, event) => void logged.push(event), error: () => undefined },
    retireGraceMs: 600_000,
  })
}
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-names-'))
  logged = []
  store = memoryStore()
  await writeClusterFile(clusterPath(directory), born)
  await open(born)
})
afterEach(async () => {
  await keys.stop()
  await rm(directory, { recursive: true })
})

const install = async (made: HandMade): Promise<void> => {
  const word = { approvedHere: true, mayErase: true }
  await keys.keeper.install(made.bytes, shareOf(made, self), word)
}
const learn = (...made: readonly HandMade[]) => keys.keeper.learn(made.map(({ bytes }) => bytes))
const known = (): readonly string[] =>
  keys.keeper.list().map(({ sharings: [latest] }) => {
    const key = latest?.sharing.key
    return `${key?.keyName} ${key?.generation} epoch ${key?.epoch}`
  })
/** What a client makes of the file, that has only its pin. @throws KmsError when it does not open */
const served = async (): Promise<readonly string[]> => {
  const file = await readClusterFile(clusterPath(directory))
  return clusterKeys(curve, verifyBuilt, file).map(
    ({ keyName, generation, epoch }) => `${keyName} ${generation} epoch ${epoch}`,
  )
}

test('a committee that was given one key makes no generation of another: neither installed nor served', async () => {
  for (const made of [genesis, moved, prized]) await install(made)
  await expect(install(taken)).rejects.toMatchObject({ code: 'bad-certificate' })
  expect((await learn(taken)).refused).toMatchObject([{ code: 'bad-certificate' }])
  const accepted = [configHash(taken.spec.newConfig)]
  expect((await keys.keeper.learn([taken.bytes], { accepted })).keys).toEqual([])
  const expected = ['ecies/prized 1 epoch 0', 'ecies/test 1 epoch 1']
  expect(known()).toEqual(expected)
  expect([...(await served())].toSorted()).toEqual(expected)
  await keys.stop()
  await open(await readClusterFile(clusterPath(directory)))
  expect(known()).toEqual(expected)
  await install(prizedMoved)
  await install(taken)
  expect([...(await served())].toSorted()).toEqual([
    'ecies/prized 1 epoch 1',
    'ecies/prized 2 epoch 0',
    'ecies/test 1 epoch 1',
  ])
})

test('a destroyed generation still says who may make the next one', async () => {
  for (const made of [genesis, moved, prized]) await install(made)
  const prizedKey = keys.keeper.list().find(({ sharings }) => sharings[0]?.sharing.key.keyName === 'ecies/prized')
  if (prizedKey === undefined) throw new Error('no key')
  await keys.keeper.destroyKey(prizedKey.keyId, Uint8Array.of(1))
  await expect(install(taken)).rejects.toMatchObject({ code: 'bad-certificate' })
  await expect(install(prizedMoved)).rejects.toMatchObject({ code: 'key-destroyed' })
  expect((await learn(prizedMoved)).refused).toEqual([])
  await install(taken)
  expect(await served()).toContain('ecies/prized 2 epoch 0')
  await keys.stop()
  await open(await readClusterFile(clusterPath(directory)))
  const lives = keys.keeper.list().filter(({ sharings }) => sharings[0]?.sharing.key.keyName === 'ecies/prized')
  expect(lives.map(({ destroyedAtMs }) => destroyedAtMs !== undefined)).toEqual([true, false])
  expect(lives[0]?.sharings.map(({ sharing, state }) => [sharing.epoch, state])).toEqual([
    [1, 'erased'],
    [0, 'erased'],
  ])
})

test('the first generation that becomes known late puts a wrong second one out of the cluster file, which still opens', async () => {
  await learn(genesis, moved, taken)
  expect(await served()).toContain('ecies/prized 2 epoch 0')
  await learn(prized)
  expect([...(await served())].toSorted()).toEqual(['ecies/prized 1 epoch 0', 'ecies/test 1 epoch 1'])
  expect(logged).toContain('certificate-not-in-cluster-file')
  await learn(prizedMoved)
  expect(await served()).toContain('ecies/prized 2 epoch 0')
})

test('a committee that was given another key puts no generation before those of a name', async () => {
  await learn(genesis, moved, prized, prizedToThird, late)
  await expect(install(before)).rejects.toMatchObject({ code: 'bad-certificate' })
  expect((await learn(before)).refused).toMatchObject([{ code: 'bad-certificate' }])
  expect(await served()).toContain('ecies/late 3 epoch 0')
  await keys.stop()
  await open(await readClusterFile(clusterPath(directory)))
  expect(known()).not.toContain('ecies/late 1 epoch 0')
})

test('an earlier generation that becomes known late is taken with the chain that leads to the later one', async () => {
  await learn(genesis, moved, prized, prizedToThird, late)
  expect((await learn(before, beforeMoved)).refused).toEqual([])
  expect(known()).toEqual(expect.arrayContaining(['ecies/late 1 epoch 1', 'ecies/late 3 epoch 0']))
  expect(await served()).toContain('ecies/late 3 epoch 0')
})

test('certificates are learned in whatever order they come', async () => {
  const { keys: learned, refused } = await learn(taken, prizedMoved, prized, moved, genesis)
  expect(learned).toHaveLength(5)
  expect(refused).toEqual([])
  expect(await served()).toHaveLength(3)
})

test('what only the store has is added to the file with all that leads to it', async () => {
  for (const made of [genesis, moved]) await install(made)
  await keys.stop()
  await writeClusterFile(clusterPath(directory), born)
  await open(born)
  expect(await served()).toEqual(['ecies/test 1 epoch 1'])
})
