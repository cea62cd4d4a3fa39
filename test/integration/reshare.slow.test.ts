import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { nobleCurve, Secret } from '@tkms/dkg'
import type { CeremonyStatus } from '@tkms/kms-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { approve, createTestCluster, type Operated, type TestCluster, waitForStatus } from '../support/node-cluster.ts'

/** Ceremonies beside key generation, with real nodes: n = 4, t = 2, f = 1, Q = 3. */
let cluster: TestCluster

beforeAll(async () => {
  cluster = await createTestCluster({
    n: 4,
    t: 2,
    environment: { TKMS_CEREMONY_PHASE_BASE_MS: '1000' },
  })
  await Promise.all(cluster.nodes.map((node) => node.start()))
}, 120_000)

afterAll(() => cluster.dispose())

const complete = ({ stage }: CeremonyStatus): boolean => stage === 'complete'

async function propose(node: Operated, ...options: readonly string[]): Promise<CeremonyStatus> {
  const [status] = await cluster.run(['ceremony', 'propose', ...options, '--data-dir', node.directory])
  return status as CeremonyStatus
}

async function abandon(node: Operated, ceremony: string): Promise<void> {
  await waitForStatus(node, ceremony, () => true)
  await (await node.admin()).post(`/ceremonies/${ceremony}/abandon`, {})
}

/** Proposes on the first node and approves on the others. @returns what each says at the end */
async function conduct(nodes: readonly Operated[], ...options: readonly string[]): Promise<readonly CeremonyStatus[]> {
  const [first, ...others] = nodes
  if (first === undefined) throw new Error('no node to propose on')
  const { ceremony } = await propose(first, ...options)
  await Promise.all(others.map((node) => approve(node, ceremony)))
  return Promise.all(nodes.map((node) => waitForStatus(node, ceremony, complete)))
}

const one = <T>(values: readonly T[]): T => {
  const [value] = new Set(values)
  if (value === undefined || new Set(values).size !== 1) throw new Error(`not one value: ${values.join(', ')}`)
  return value
}

test('a refresh gives everybody a new share of the same key', async () => {
  const made = await conduct(cluster.nodes, '--name', 'ecies/refreshed')
  const fresh = await conduct(cluster.nodes, '--refresh', 'ecies/refreshed')
  expect(one(fresh.map(({ publicKey }) => publicKey))).toBe(one(made.map(({ publicKey }) => publicKey)))
  expect(one(fresh.map(({ keyId }) => keyId))).toBe(one(made.map(({ keyId }) => keyId)))
  expect(one(fresh.map(({ sharingId }) => sharingId))).not.toBe(one(made.map(({ sharingId }) => sharingId)))
  expect(fresh.map(({ epoch, holdsShare }) => ({ epoch, holdsShare }))).toEqual(
    cluster.nodes.map(() => ({ epoch: 1, holdsShare: true })),
  )
})

test('an imported key keeps its public key', async () => {
  const key = Buffer.alloc(32, 7)
  const file = join(cluster.directory, 'old-kms.hex')
  await writeFile(file, `0x${key.toString('hex')}\n`)
  const statuses = await conduct(cluster.nodes, '--import', 'ecies/imported', '--key-file', file)
  const publicKey = nobleCurve.mulBaseSecret(new Secret(Uint8Array.from(key)))
  expect(one(statuses.map((status) => status.publicKey))).toBe(`0x${Buffer.from(publicKey).toString('hex')}`)
  expect(statuses[0]?.advice).toContain('ceremony propose --refresh ecies/imported')
  const fresh = await conduct(cluster.nodes, '--refresh', 'ecies/imported')
  expect(one(fresh.map((status) => status.publicKey))).toBe(one(statuses.map((status) => status.publicKey)))
})

test('a ceremony that a quorum abandons is over, and its next attempt makes the key', async () => {
  const [first, second, third] = cluster.nodes
  if (first === undefined || second === undefined || third === undefined) throw new Error('no nodes')
  const { ceremony } = await propose(first, '--name', 'ecies/again')
  await Promise.all([first, second, third].map((node) => abandon(node, ceremony)))
  await Promise.all(
    [first, second, third].map((node) => waitForStatus(node, ceremony, ({ stage }) => stage === 'abandoned')),
  )
  const again = await conduct(cluster.nodes, '--name', 'ecies/again')
  expect(again[0]).toMatchObject({ generation: 1, attempt: 1, holdsShare: true })
})

test('a member leaves, and the next generation and an imported key are made by those who stay', async () => {
  const [leaving, ...staying] = cluster.nodes
  const made = await conduct(cluster.nodes, '--name', 'ecies/shrinking')
  const options = ['--reshare', 'ecies/shrinking', '--remove', leaving?.name ?? '']
  const shrunk = await conduct(cluster.nodes, ...options)
  expect(one(shrunk.map(({ publicKey }) => publicKey))).toBe(made[0]?.publicKey)
  expect(shrunk[0]).toMatchObject({ n: 3, t: 2, epoch: 1, old: { n: 4, t: 2 } })
  expect(shrunk.map(({ holdsShare }) => holdsShare)).toEqual([false, true, true, true])
  const [rotated] = await cluster.run(['keys', 'rotate', 'ecies/shrinking', '--data-dir', staying[0]?.directory ?? ''])
  const { ceremony } = rotated as CeremonyStatus
  await Promise.all(staying.slice(1).map((node) => approve(node, ceremony)))
  const next = await Promise.all(staying.map((node) => waitForStatus(node, ceremony, complete)))
  expect(next[0]).toMatchObject({ generation: 2, epoch: 0, n: 3, t: 2, holdsShare: true })
  expect(one(next.map(({ publicKey }) => publicKey))).not.toBe(made[0]?.publicKey)
  const file = join(cluster.directory, 'taken-over.hex')
  await writeFile(file, '09'.repeat(32))
  const imported = await conduct(
    staying,
    '--import',
    'ecies/taken-over',
    '--key-file',
    file,
    '--like',
    'ecies/shrinking',
  )
  expect(imported[0]).toMatchObject({ kind: 'import', n: 3, t: 2, holdsShare: true })
})
