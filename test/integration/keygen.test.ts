import { type CeremonyStatus, readClusterFile } from '@tkms/kms-node'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  approve,
  createTestCluster,
  proposeAndApprove,
  type TestCluster,
  type TestNode,
  waitForStatus,
} from '../support/node-cluster.ts'

let cluster: TestCluster

beforeAll(async () => {
  cluster = await createTestCluster({ n: 5, t: 3 })
  await Promise.all(cluster.nodes.map((node) => node.start()))
}, 120_000)

afterAll(() => cluster.dispose())

const complete = (status: CeremonyStatus): boolean => status.stage === 'complete'

const keysOf = async (node: TestNode): Promise<readonly { keyId: string; keyName: string; serving: boolean }[]> =>
  (await (await node.admin()).get('/keys')) as never

const isReady = async (node: TestNode): Promise<number> => (await fetch(`${node.url}/ready`)).status

test('five processes make a key, each holds a share and serves it', async () => {
  const beforeMs = performance.now()
  const ceremony = await proposeAndApprove(cluster.nodes, 'ecies/1')
  const statuses = await Promise.all(cluster.nodes.map((node) => waitForStatus(node, ceremony, complete)))
  console.log('keygen', performance.now() - beforeMs)
  expect(new Set(statuses.map(({ keyId }) => keyId)).size).toBe(1)
  expect(new Set(statuses.map(({ sharingId }) => sharingId)).size).toBe(1)
  expect(statuses.map(({ faults }) => faults)).toEqual([[], [], [], [], []])
  for (const node of cluster.nodes) {
    expect(await keysOf(node)).toMatchObject([{ keyName: 'ecies/1', keyId: statuses[0]?.keyId, serving: true }])
    expect(await isReady(node)).toBe(200)
    const file = await readClusterFile(join(node.directory, 'cluster.json'))
    expect(file.certificates).toHaveLength(1)
  }
})
