import { randomInt } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { setTimeout as passed } from 'node:timers/promises'
import { createEd25519Signer, Secret } from '@tkms/kms-client'
import { createNodeKmsClient } from '@tkms/kms-client/node'
import type { CeremonyStatus } from '@tkms/kms-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  createTestCluster,
  leaderOf,
  makeKey,
  type TestCluster,
  type TestNode,
  waitForStatus,
} from '../support/node-cluster.ts'
import { seededRandom } from '../support/simulated-committee.ts'

const N = 5
const T = 3
/** Each kills one node in a key generation and one in a refresh; the nightly run has more. */
const ROUNDS = Number(process.env['TKMS_KILL_ROUNDS'] ?? 1)
const LONGEST_DELAY_MS = 3_000
const TEST_TIMEOUT_MS = 180_000
const seed = Number(process.env['TKMS_KILL_SEED'] ?? randomInt(2 ** 31))
const random = seededRandom(seed)
const pick = <Item>(items: readonly Item[]): Item => {
  const item = items[Math.floor(random() * items.length)]
  if (item === undefined) throw new Error('nothing to pick from')
  return item
}

let cluster: TestCluster

beforeAll(async () => {
  process.stdout.write(`kill sweep: TKMS_KILL_SEED=${seed}\n`)
  cluster = await createTestCluster({ n: N, t: T, environment: { TKMS_CEREMONY_PHASE_BASE_MS: '2500' } })
  await Promise.all(cluster.nodes.map((node) => node.start()))
}, TEST_TIMEOUT_MS)

afterAll(() => cluster.dispose())

const OPEN_STAGES: readonly string[] = ['proposed', 'authorizing', 'running']
const isFinal = ({ stage }: CeremonyStatus): boolean => !OPEN_STAGES.includes(stage)
const all = <Item>(items: readonly Item[], run: (item: Item) => Promise<unknown>): Promise<unknown> =>
  Promise.all(items.map(run))
const without = (...absent: readonly TestNode[]): readonly TestNode[] =>
  cluster.nodes.filter((node) => !absent.includes(node))

async function propose(node: TestNode, ...options: readonly string[]): Promise<string> {
  const [status] = await cluster.run(['ceremony', 'propose', ...options, '--data-dir', node.directory])
  return (status as CeremonyStatus).ceremony
}

/** Approves the ceremony where the node asks for it, and follows it to an end. */
async function follow(node: TestNode, ceremony: string): Promise<CeremonyStatus> {
  const status = await waitForStatus(node, ceremony, () => true)
  if (status.stage === 'proposed') await (await node.admin()).post(`/ceremonies/${ceremony}/approve`, {})
  return waitForStatus(node, ceremony, isFinal)
}

/** Every accusation that any node has written: honest nodes give no reason for one, whenever they are killed. */
async function accusations(): Promise<readonly string[]> {
  const lists = await Promise.all(
    cluster.nodes.map(({ directory }) => readdir(directory, { recursive: true }).then((files) => files.map(String))),
  )
  return lists.flat().filter((file) => file.startsWith('evidence/'))
}

const keysOf = async (node: TestNode): Promise<readonly { keyName: string; serving: boolean }[]> =>
  (await (await node.admin()).get('/keys')) as { keyName: string; serving: boolean }[]

interface Kill {
  readonly victim: TestNode
  readonly proposer: TestNode
  /** When: on reaching a phase, or some time after the approvals began. */
  readonly moment: { readonly phase: string } | { readonly delayMs: number }
}

const drawKill = (): Kill => ({
  victim: pick(cluster.nodes),
  proposer: pick(cluster.nodes),
  moment:
    random() < 0.5
      ? { phase: pick(['joining', 'dealing', 'vouching', 'voting', 'committing']) }
      : { delayMs: Math.floor(random() * LONGEST_DELAY_MS) },
})

async function runRound(
  what: readonly string[],
  { victim, proposer, moment }: Kill,
): Promise<readonly CeremonyStatus[]> {
  const ceremony = await propose(proposer, ...what)
  const survivors = without(victim)
  const endings = survivors.map((node) => follow(node, ceremony))
  if ('phase' in moment) {
    // It approves, and dies on the way to its end.
    const reached = waitForStatus(victim, ceremony, (status) => status.phase === moment.phase || isFinal(status))
    const approving = victim === proposer ? Promise.resolve() : approveAsSoonAsProposed(victim, ceremony)
    await Promise.all([reached, approving])
  } else {
    const approving = victim === proposer ? Promise.resolve() : approveAsSoonAsProposed(victim, ceremony)
    await Promise.all([approving, passed(moment.delayMs)])
  }
  await victim.kill()
  await victim.start()
  return Promise.all([...endings, follow(victim, ceremony)])
}

async function approveAsSoonAsProposed(node: TestNode, ceremony: string): Promise<void> {
  await waitForStatus(node, ceremony, ({ stage }) => stage === 'proposed')
  await (await node.admin()).post(`/ceremonies/${ceremony}/approve`, {})
}

test.for(Array.from({ length: ROUNDS }, (_, round) => round))(
  'round %i: a node killed at some moment of a key generation, and one of a resharing, have the certificates of the others after it',
  { timeout: TEST_TIMEOUT_MS },
  async (round) => {
    const keyName = `ecies/round-${round}`
    for (const what of ['--name', '--refresh']) await expectRound([what, keyName], keyName)
  },
)

async function expectRound(what: readonly string[], keyName: string): Promise<void> {
  const kill = drawKill()
  const story = `${what.join(' ')}, seed ${seed}, ${kill.victim.name} killed at ${JSON.stringify(kill.moment)}`
  const endings = await runRound(what, kill)
  expect({
    story,
    stages: endings.map(({ stage }) => stage),
    sharings: new Set(endings.map(({ sharingId }) => sharingId)).size,
    accusations: await accusations(),
  }).toEqual({ story, stages: cluster.nodes.map(() => 'complete'), sharings: 1, accusations: [] })
  expect(endings.filter(({ holdsShare }) => holdsShare === true).length).toBeGreaterThanOrEqual(N - 1)
  for (const node of cluster.nodes) expect(await keysOf(node)).toContainEqual(expect.objectContaining({ keyName }))
}

test('killed while serving, a node serves again after its restart', { timeout: TEST_TIMEOUT_MS }, async () => {
  await makeKey(cluster.nodes, 'ecies/served')
  const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
  const answered = new Set<string>()
  const kms = await createNodeKmsClient({
    cluster: await cluster.file(),
    signer,
    onNodeAnswer: ({ name }) => answered.add(name),
  })
  try {
    const plaintext = crypto.getRandomValues(new Uint8Array(64))
    const envelope = await kms.encrypt(plaintext, { key: 'ecies/served', owners: [signer.publicKeyId] })
    const [victim, ...others] = cluster.nodes
    if (victim === undefined) throw new Error('no node')
    const stream = Array.from({ length: 40 }, () => kms.decrypt(envelope))
    await stream[0]
    await victim.kill()
    for (const opened of await Promise.all(stream)) expect(opened).toEqual(plaintext)

    await victim.start()
    const stopped = others.slice(0, N - T)
    await all(stopped, (node) => node.kill())
    answered.clear()
    expect(await kms.decrypt(envelope)).toEqual(plaintext)
    expect(answered).toContain(victim.name)
    await all(stopped, (node) => node.start())
  } finally {
    await kms.close()
  }
})

test('one absent node does not keep the others from a key, and learns of it when it is back', {
  timeout: TEST_TIMEOUT_MS,
}, async () => {
  const [proposer] = cluster.nodes
  if (proposer === undefined) throw new Error('no node')
  const ceremony = await propose(proposer, '--name', 'ecies/absent')
  const leader = cluster.node(leaderOf(ceremony, N))
  const absent = pick(without(proposer, leader))
  await absent.kill()
  const endings = await Promise.all(without(absent).map((node) => follow(node, ceremony)))
  expect(endings.map(({ stage, holdsShare }) => ({ stage, holdsShare }))).toEqual(
    endings.map(() => ({ stage: 'complete', holdsShare: true })),
  )
  expect(await accusations()).toEqual([])
  await absent.start()
  const late = await follow(absent, ceremony)
  expect({ stage: late.stage, holdsShare: late.holdsShare, keyId: late.keyId }).toEqual({
    stage: 'complete',
    holdsShare: false,
    keyId: endings[0]?.keyId,
  })
})

test('an absent first leader does not keep the others from a key: the next view has another leader', {
  timeout: TEST_TIMEOUT_MS,
}, async () => {
  const [proposer] = cluster.nodes
  if (proposer === undefined) throw new Error('no node')
  const ceremony = await propose(proposer, '--name', 'ecies/leaderless')
  const leader = cluster.node(leaderOf(ceremony, N))
  const present = without(leader)
  await all(present, (node) => waitForStatus(node, ceremony, () => true))
  await leader.kill()
  const endings = await Promise.all(present.map((node) => follow(node, ceremony)))
  for (const { stage, view } of endings) {
    expect(stage).toBe('complete')
    expect(view).toBeGreaterThan(0)
  }
  // Who came along by the JOINs of others has no failed view of its own to tell of.
  const reasons = endings.flatMap(({ lastView }) => lastView?.reason ?? [])
  expect(reasons.join('\n')).toContain(leader.name)
  await leader.start()
  expect(await accusations()).toEqual([])
})
