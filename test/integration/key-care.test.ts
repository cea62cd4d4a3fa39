import { bytesKey } from '@tkms/dkg'
import { loadNodeConfig, withNodeStore } from '@tkms/kms-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestCluster, makeKey, type TestCluster, type TestNode } from '../support/node-cluster.ts'

/** Repair and destruction of keys with real nodes, by the commands that operators type: n = 4, t = 2, f = 1, Q = 3. */
const ENVIRONMENT = { TKMS_SEALER_SCRYPT_LOG_N: '10' }
let cluster: TestCluster

beforeAll(async () => {
  cluster = await createTestCluster({ n: 4, t: 2 })
  await Promise.all(cluster.nodes.map((node) => node.start()))
}, 120_000)
afterAll(() => cluster.dispose())

const run = async (node: TestNode, ...args: readonly string[]): Promise<readonly Record<string, unknown>[]> => {
  const lines = await cluster.run([...args, '--data-dir', node.directory])
  return (lines.length === 1 && Array.isArray(lines[0]) ? lines[0] : lines) as Record<string, unknown>[]
}
type Shown = Record<string, unknown>
const ask = async (node: TestNode, path: string): Promise<readonly Shown[]> =>
  (await (await node.admin()).get(path)) as readonly Shown[]
const keyOf = async (node: TestNode, keyName: string): Promise<Shown> => {
  const found = (await ask(node, '/keys')).find((key) => key['keyName'] === keyName)
  if (found === undefined) throw new Error(`${node.name} knows no key ${keyName}`)
  return found
}

/** What the stopped node's sealed store holds as its share, taken out of it. */
async function loseShare(node: TestNode, sharingId: string): Promise<string> {
  const config = await loadNodeConfig({ directory: node.directory, env: ENVIRONMENT })
  const env = { ...ENVIRONMENT, TKMS_PASSPHRASE_FILE: passphraseFile(node) }
  return withNodeStore(config, env, async (store) => {
    const record = await store.get('share', sharingId.slice(2))
    if (record === undefined) throw new Error('the store holds no such share')
    const share = record.use((bytes) => bytesKey(bytes.slice(-32)))
    record.destroy()
    await store.erase('share', sharingId.slice(2))
    return share
  })
}
const passphraseFile = (node: TestNode): string => `${node.directory}/../${node.name}.passphrase`

async function approveRepair(node: TestNode): Promise<void> {
  const waiting = async () => (await ask(node, '/repairs')).find(({ phase }) => phase === 'waiting')
  await expect.poll(waiting, { timeout: 20_000, interval: 100 }).toBeDefined()
  await run(node, 'repair', 'approve', String((await waiting())?.['id']))
}

test('row 15: a lost share comes back by `repair`, also when nodes are killed meanwhile', async () => {
  await makeKey(cluster.nodes, 'ecies/repaired')
  const [one, two, three, four] = cluster.nodes as [TestNode, TestNode, TestNode, TestNode]
  const { sharingId } = await keyOf(four, 'ecies/repaired')
  await four.stop()
  const lost = await loseShare(four, String(sharingId))
  await four.start()
  expect(await keyOf(four, 'ecies/repaired')).toMatchObject({ serving: false, role: 'awaiting-repair' })
  const [begun] = await run(four, 'repair', 'ecies/repaired')
  expect(begun).toMatchObject({ role: 'recoverer', keyName: 'ecies/repaired' })
  await approveRepair(one)
  // What was approved and what was asked survives the death of both.
  await one.kill()
  await four.kill()
  await Promise.all([one.start(), four.start()])
  await approveRepair(two)
  await expect
    .poll(async () => (await keyOf(four, 'ecies/repaired'))['serving'], { timeout: 30_000, interval: 300 })
    .toBe(true)
  await four.stop()
  expect(await loseShare(four, String(sharingId))).toBe(lost)
  await four.start()
  expect(three.log()).not.toContain('repair-fault')
})

test('a quorum of operators destroys a key, at nodes that were away too', async () => {
  await makeKey(cluster.nodes, 'ecies/doomed')
  const [one, two, three, four] = cluster.nodes as [TestNode, TestNode, TestNode, TestNode]
  const { keyId, sharingId } = await keyOf(one, 'ecies/doomed')
  const destroy = (node: TestNode, ...more: readonly string[]) =>
    run(node, 'keys', 'destroy', 'ecies/doomed', '--generation', '1', '--last', ...more)
  const unconfirmed = { keyName: 'ecies/doomed', generation: 1, last: true }
  await expect((await one.admin()).post('/destructions', unconfirmed)).rejects.toMatchObject({ code: 'not-confirmed' })
  await expect(
    (await one.admin()).post('/destructions', { ...unconfirmed, confirm: keyId, last: false }),
  ).rejects.toMatchObject({
    code: 'newest-generation',
  })
  await four.kill()
  const [first] = await destroy(one, '--confirm', String(keyId))
  expect(first).toMatchObject({ phase: 'collecting', signatures: { have: 1, want: 3 } })
  await two.kill()
  await two.start()
  await destroy(two, '--confirm', String(keyId))
  expect(await keyOf(three, 'ecies/doomed')).toMatchObject({ serving: true })
  await destroy(three, '--confirm', String(keyId))
  const phaseAt = async (node: TestNode) => (await ask(node, '/destructions'))[0]?.['phase']
  await expect.poll(() => phaseAt(one), { timeout: 20_000, interval: 300 }).toBe('erased')
  expect(await keyOf(one, 'ecies/doomed')).toMatchObject({ serving: false, role: 'destroyed' })
  const [shown] = await run(one, 'keys', 'destroy', 'ecies/doomed', '--status')
  expect(shown?.['advice']).toContain('node-4')
  await four.start()
  await expect.poll(() => phaseAt(one), { timeout: 30_000, interval: 300 }).toBe('gone')
  expect(await keyOf(four, 'ecies/doomed')).toMatchObject({ serving: false, role: 'destroyed' })
  await four.stop()
  await expect(loseShare(four, String(sharingId))).rejects.toThrow('no such share')
  await four.start()
})
