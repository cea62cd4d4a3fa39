import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CeremonyStatus } from '@tkms/kms-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  approve,
  createTestCluster,
  makeKey,
  type Operated,
  type TestCluster,
  type TestNode,
  waitForStatus,
} from '../support/node-cluster.ts'

const TEST_TIMEOUT_MS = 180_000
/** A condition of running nodes: how long it may take to come, and how often it is looked at. */
const SOON = { timeout: 60_000, interval: 100 }

let cluster: TestCluster
let founders: readonly TestNode[]
let candidate: TestNode

beforeAll(async () => {
  cluster = await createTestCluster({
    n: 4,
    t: 2,
    environment: { TKMS_CEREMONY_PHASE_BASE_MS: '1000', TKMS_CEREMONY_RETIRE_GRACE_MS: '100' },
  })
  founders = [...cluster.nodes]
  await Promise.all(founders.map((node) => node.start()))
  await makeKey(founders, 'ecies/first')
  candidate = (await cluster.addCandidates(1))[0] ?? cluster.node(5)
}, TEST_TIMEOUT_MS)

afterAll(() => cluster.dispose())

const book = (node: Operated, ...command: readonly string[]): Promise<readonly unknown[]> =>
  cluster.run(['cluster', ...command, '--data-dir', node.directory])
const refusal = (code: string): unknown => ({ stdout: expect.stringContaining(`"code":"${code}"`) as unknown, code: 1 })
const fileOf = (node: Operated): string => join(node.directory, 'cluster.json')
const peersOf = async (node: Operated): Promise<readonly number[]> =>
  ((await (await node.admin()).get('/status')) as { peersConnected: number[] }).peersConnected

test('a node that no committee names joins as a candidate', { timeout: TEST_TIMEOUT_MS }, async () => {
  expect(await book(candidate, 'join', fileOf(candidate))).toMatchObject([
    { index: 5, name: 'node-5', standing: 'candidate', n: 4 },
  ])
})

test('running and stopped nodes take a newer file, and the candidate is heard', {
  timeout: TEST_TIMEOUT_MS,
}, async () => {
  const [one, two] = founders as [TestNode, TestNode]
  await candidate.start()
  const added = { added: ['node-5'], changed: [], removed: [], certificates: 0 }
  expect(await book(one, 'update', fileOf(candidate))).toEqual([{ ...added, running: true }])
  await expect.poll(() => peersOf(one), SOON).toContain(5)
  await expect.poll(() => peersOf(candidate), SOON).toContain(1)
  expect(await book(one, 'update', fileOf(candidate))).toEqual([{ ...added, added: [], running: true }])
  await two.stop()
  expect(await book(two, 'update', fileOf(one))).toEqual([{ ...added, running: false }])
  await two.start()
  await expect.poll(() => peersOf(two), SOON).toContain(5)
})

test('what an operator gets wrong is refused by name', { timeout: TEST_TIMEOUT_MS }, async () => {
  const [one] = founders as [TestNode]
  const card = join(candidate.directory, 'card.json')
  const out = join(cluster.directory, 'again.json')
  const again = ['add', card, '--cluster', fileOf(one), '--out', out]
  await expect(book(one, ...again)).rejects.toMatchObject(refusal('already-in-cluster') as object)
  const other = join(cluster.directory, 'other.json')
  const cards = founders.slice(0, 3).map((node) => join(node.directory, 'card.json'))
  await cluster.run(['cluster', 'new', ...cards, '--threshold', '2', '--out', other])
  await expect(book(one, 'update', other)).rejects.toMatchObject(refusal('other-cluster') as object)
  await writeFile(out, '{')
  await expect(book(one, 'update', out)).rejects.toMatchObject(refusal('bad-cluster-file') as object)
  await expect(book(one, 'remove', 'node-4')).rejects.toMatchObject(refusal('still-member') as object)
  await expect(book(one, 'remove', 'node-1')).rejects.toMatchObject(refusal('own-entry') as object)
  await expect(book(one, 'remove', 'node-9')).rejects.toMatchObject(refusal('unknown-node') as object)
})

test('row 30: a removed member is heard in no ceremony any more, and can be forgotten', {
  timeout: TEST_TIMEOUT_MS,
}, async () => {
  const [one, , three, four] = founders as [TestNode, TestNode, TestNode, TestNode]
  const change = ['--reshare', 'ecies/first', '--remove', 'node-4', '--add', join(candidate.directory, 'card.json')]
  const [proposed] = await cluster.run(['ceremony', 'propose', ...change, '--data-dir', one.directory])
  const { ceremony } = proposed as CeremonyStatus
  const everybody = [...founders, candidate]
  await Promise.all(everybody.slice(1).map((node) => approve(node, ceremony)))
  await Promise.all(everybody.map((node) => waitForStatus(node, ceremony, ({ stage }) => stage === 'complete')))
  // Once the old sharing is erased here, nothing names node-4 any more; what it has left to say is refused.
  await expect.poll(() => refusals(one, four), SOON).toBe(true)
  await expect(book(one, 'remove', 'node-3')).rejects.toMatchObject(refusal('still-member') as object)
  expect(await book(one, 'remove', 'node-4')).toMatchObject([{ removed: ['node-4'], running: true }])
  await expect.poll(() => peersOf(one), SOON).not.toContain(4)
  await three.stop()
  expect(await book(three, 'remove', 'node-4')).toMatchObject([{ removed: ['node-4'], running: false }])
  await three.start()
  await expect.poll(async () => (await peersOf(three)).toSorted((left, right) => left - right), SOON).toEqual([1, 2, 5])
})

/** Lets the removed node propose a ceremony of its own; whether the other one has dropped what it said. */
async function refusals(at: TestNode, removed: TestNode): Promise<boolean> {
  const propose = { kind: 'keygen', keyName: `ecies/late-${Math.floor(performance.now())}` }
  await (await removed.admin()).post('/ceremonies', propose).catch(() => undefined)
  const lines = at.log().split('\n')
  return lines.some((line) => line.includes('"ceremony-stream-refused"') && line.includes(`"remote":"${removed.name}"`))
}
