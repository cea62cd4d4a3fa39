import { join } from 'node:path'
import { type CeremonyStatus, readClusterFile } from '@tkms/kms-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  approve,
  createTestCluster,
  leaderOf,
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

interface Key {
  readonly keyId: string
  readonly keyName: string
  readonly serving: boolean
}

const keysOf = async (node: TestNode): Promise<readonly Key[]> =>
  (await (await node.admin()).get('/keys')) as readonly Key[]

const readiness = async (node: TestNode): Promise<number> => (await fetch(`${node.url}/ready`)).status

const completion = (nodes: readonly TestNode[], ceremony: string): Promise<CeremonyStatus[]> =>
  Promise.all(nodes.map((node) => waitForStatus(node, ceremony, complete)))

test('five processes make a key; each stores a share, serves it and publishes the certificate', async () => {
  const ceremony = await proposeAndApprove(cluster.nodes, 'ecies/1')
  const statuses = await completion(cluster.nodes, ceremony)
  expect(new Set(statuses.map(({ keyId }) => keyId)).size).toBe(1)
  expect(new Set(statuses.map(({ sharingId }) => sharingId)).size).toBe(1)
  expect(statuses.map(({ holdsShare, faults }) => ({ holdsShare, faults }))).toEqual(
    cluster.nodes.map(() => ({ holdsShare: true, faults: [] })),
  )
  for (const node of cluster.nodes) {
    expect(await keysOf(node)).toMatchObject([{ keyName: 'ecies/1', keyId: statuses[0]?.keyId, serving: true }])
    expect(await readiness(node)).toBe(200)
    expect((await readClusterFile(join(node.directory, 'cluster.json'))).certificates).toHaveLength(1)
  }
})

test.for(['dealing', 'voting'] as const)('a node killed while %s finishes after its restart', async (phase) => {
  const [proposer, ...others] = cluster.nodes
  if (proposer === undefined) throw new Error('no node')
  const keyName = `ecies/killed-${phase}`
  const { ceremony } = (await (await proposer.admin()).post('/ceremonies', { keyName })) as CeremonyStatus
  const victim = cluster.node(leaderOf(ceremony, 5) === 5 ? 4 : 5)
  const reached = waitForStatus(victim, ceremony, (status) => status.phase === phase || complete(status))
  await Promise.all(others.map((node) => approve(node, ceremony)))
  await reached
  await victim.kill()
  await completion(
    cluster.nodes.filter((node) => node !== victim),
    ceremony,
  )
  await victim.start()
  const status = await waitForStatus(victim, ceremony, complete)
  expect(status.holdsShare).toBe(true)
  expect(await keysOf(victim)).toContainEqual(expect.objectContaining({ keyName, serving: true }))
})

test('a key outlives kill -9 of every node', async () => {
  const before = await Promise.all(cluster.nodes.map(keysOf))
  await Promise.all(cluster.nodes.map((node) => node.kill()))
  await Promise.all(cluster.nodes.map((node) => node.start()))
  expect(await Promise.all(cluster.nodes.map(keysOf))).toEqual(before)
  expect(await Promise.all(cluster.nodes.map(readiness))).toEqual([200, 200, 200, 200, 200])
})

test('a node that approves after the end gets the certificate and says that it holds no share', async () => {
  const { ceremony } = (await (
    await cluster.node(1).admin()
  ).post('/ceremonies', {
    keyName: 'ecies/late',
  })) as CeremonyStatus
  const late = cluster.node(leaderOf(ceremony, 5) === 5 ? 4 : 5)
  const others = cluster.nodes.filter((node) => node !== late)
  await Promise.all(others.slice(1).map((node) => approve(node, ceremony)))
  await completion(others, ceremony)
  await approve(late, ceremony)
  const status = await waitForStatus(late, ceremony, complete)
  expect(status.holdsShare).toBe(false)
  expect(await keysOf(late)).toContainEqual(expect.objectContaining({ keyName: 'ecies/late', serving: false }))
})

test('a graceful stop lets the process end with code 0 and leaves the admin socket gone', async () => {
  const node = cluster.node(3)
  expect(await node.stop()).toBe(0)
  await expect(node.admin()).rejects.toMatchObject({ code: 'node-not-running' })
  await node.start()
  expect(await readiness(node)).toBe(200)
})
