import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { CeremonyStatus } from '@tkms/kms-node'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createMesh, localProxies, type Mesh, parseTcpAddress, proxiesBehind, type ProxyHost } from '../support/mesh.ts'
import {
  createNamespaceLab,
  type Namespace,
  type NamespaceLab,
  namespacesMissing,
} from '../support/network-namespaces.ts'
import {
  approve,
  createTestCluster,
  leaderOf,
  type TestCluster,
  type TestNode,
  waitForStatus,
} from '../support/node-cluster.ts'

const N = 4
const T = 2
const TEST_TIMEOUT_MS = 300_000
const P2P_PORT = 7001
const DELAY_MS = 500

const missing = await namespacesMissing()
if (missing !== undefined && process.env['TKMS_REQUIRE_ALL'] === '1') throw new Error(missing)
if (missing !== undefined) process.stdout.write(`skipped: loss in network namespaces, ${missing}\n`)

/** A node's part in a ceremony is over, well or not. */
const isFinal = ({ stage }: CeremonyStatus): boolean =>
  stage !== 'running' && stage !== 'proposed' && stage !== 'authorizing'

async function propose(proposer: TestNode, keyName: string, kind = 'keygen'): Promise<string> {
  return ((await (await proposer.admin()).post('/ceremonies', { kind, keyName })) as CeremonyStatus).ceremony
}

/** Every node ends with the certificate of one sharing, and nobody is accused. */
async function expectOneKey(nodes: readonly TestNode[], ceremony: string, story: string): Promise<void> {
  const endings = await Promise.all(nodes.map((node) => waitForStatus(node, ceremony, isFinal)))
  expect({
    story,
    stages: endings.map(({ stage }) => stage),
    sharings: new Set(endings.map(({ sharingId }) => sharingId)).size,
    faults: endings.flatMap(({ faults }) => faults),
  }).toEqual({ story, stages: nodes.map(() => 'complete'), sharings: 1, faults: [] })
}

const indices = (nodes: readonly TestNode[]): readonly number[] => nodes.map(({ index }) => index)

/** Whether somebody is missing, and nobody but these. What crossed before a partition is not missed. */
const waitsOnlyFor = ({ missing: names = [] }: CeremonyStatus, nodes: readonly TestNode[]): boolean =>
  names.length > 0 && names.every(({ index }) => nodes.some((node) => node.index === index))

/** Whether exactly these are missing. */
const waitsFor = ({ missing: names }: CeremonyStatus, nodes: readonly TestNode[]): boolean =>
  (names ?? []).length === nodes.length && nodes.every(({ index }) => names?.some((name) => name.index === index))

/** The cluster as its proxies show it to each node; nothing runs yet. */
async function meshOf(cluster: TestCluster, proxies: ProxyHost, at?: (node: TestNode) => string): Promise<Mesh> {
  const members = await Promise.all(
    cluster.nodes.map(async (node) => {
      const card = JSON.parse(await readFile(join(node.directory, 'card.json'), 'utf8')) as { multiaddrs: string[] }
      const address = at === undefined ? parseTcpAddress(card.multiaddrs[0] ?? '') : { host: at(node), port: P2P_PORT }
      return { index: node.index, directory: node.directory, address }
    }),
  )
  return createMesh(members, proxies)
}

describe('behind proxies', () => {
  let cluster: TestCluster
  let mesh: Mesh
  const proxies = localProxies()

  beforeAll(async () => {
    cluster = await createTestCluster({ n: N, t: T })
    mesh = await meshOf(cluster, proxies)
    await Promise.all(cluster.nodes.map((node) => node.start()))
  }, TEST_TIMEOUT_MS)
  afterEach(() => mesh.heal())
  afterAll(async () => {
    await cluster.dispose()
    await proxies.close()
  })

  /** Two against two, the proposer and the first leader apart where that can be: neither half is a quorum. */
  const halvesOf = (proposer: TestNode, ceremony: string): readonly [TestNode[], TestNode[]] => {
    const leader = leaderOf(ceremony, N)
    const others = cluster.nodes.filter((node) => node !== proposer)
    const partner = others.find(({ index }) => index !== leader) ?? proposer
    const near = [proposer, partner]
    return [near, cluster.nodes.filter((node) => !near.includes(node))]
  }

  const PHASES = ['joining', 'dealing', 'vouching', 'voting', 'committing'] as const
  const parted: string[] = []

  test.for(PHASES)(
    'a partition while %s: each half names whom it waits for, and one key comes of it when the halves meet',
    { timeout: TEST_TIMEOUT_MS },
    async (phase) => {
      const [proposer, ...others] = cluster.nodes as [TestNode, ...TestNode[]]
      await mesh.everywhere({ delayMs: 200 })
      const ceremony = await propose(proposer, `ecies/parted-${phase}`)
      const halves = halvesOf(proposer, ceremony)
      const reached = Promise.any(
        cluster.nodes.map((node) =>
          waitForStatus(node, ceremony, (status) => status.phase === phase || status.stage === 'complete'),
        ),
      )
      await Promise.all(others.map((node) => approve(node, ceremony)))
      await reached
      const [near, far] = halves
      await mesh.partition(indices(near), indices(far))
      const seen = await Promise.all([whatHalfSees(near, far, ceremony), whatHalfSees(far, near, ceremony)])
      for (const each of seen) expect(['names', 'complete']).toContain(each)
      if (seen.every((each) => each === 'names')) parted.push(phase)
      await mesh.heal()
      await expectOneKey(cluster.nodes, ceremony, `parted while ${phase}`)
    },
  )

  test('a partition in the middle of a refresh: the old shares serve on, and the halves refresh when they meet', {
    timeout: TEST_TIMEOUT_MS,
  }, async () => {
    const [proposer, ...others] = cluster.nodes as [TestNode, ...TestNode[]]
    const ceremony = await propose(proposer, 'ecies/parted-joining', 'reshare')
    const [near, far] = halvesOf(proposer, ceremony)
    await Promise.all(others.map((node) => approve(node, ceremony)))
    await Promise.any(
      cluster.nodes.map((node) =>
        waitForStatus(node, ceremony, ({ phase, stage }) => phase === 'vouching' || stage === 'complete'),
      ),
    )
    await mesh.partition(indices(near), indices(far))
    for (const seen of await Promise.all([whatHalfSees(near, far, ceremony), whatHalfSees(far, near, ceremony)]))
      expect(['names', 'complete']).toContain(seen)
    for (const node of cluster.nodes) {
      const keys = await (await node.admin()).get('/keys')
      expect(keys).toContainEqual(expect.objectContaining({ keyName: 'ecies/parted-joining', serving: true }))
    }
    await mesh.heal()
    await expectOneKey(cluster.nodes, ceremony, 'parted while refreshing')
  })

  test('most of these partitions came in time', () => {
    expect(parted.length).toBeGreaterThanOrEqual(3)
  })

  /** Until one of the half misses nobody but nodes of the other half, or it was too late for that. */
  async function whatHalfSees(
    half: readonly TestNode[],
    other: readonly TestNode[],
    ceremony: string,
  ): Promise<string> {
    const status = await Promise.any(
      half.map((node) => waitForStatus(node, ceremony, (seen) => isFinal(seen) || waitsOnlyFor(seen, other))),
    )
    return isFinal(status) ? status.stage : 'names'
  }

  test('who hears and is not heard is named by those who wait for it, and they make the key without it', {
    timeout: TEST_TIMEOUT_MS,
  }, async () => {
    const [proposer, ...others] = cluster.nodes as [TestNode, ...TestNode[]]
    const ceremony = await propose(proposer, 'ecies/mute')
    const leader = cluster.node(leaderOf(ceremony, N))
    const mute = others.find((node) => node !== leader) ?? proposer
    const heard = cluster.nodes.filter((node) => node !== mute)
    for (const { index } of heard) await mesh.block(mute.index, index)
    const named = waitForStatus(leader, ceremony, (status) => isFinal(status) || waitsFor(status, [mute]))
    await Promise.all(others.map((node) => approve(node, ceremony)))
    expect(isFinal(await named)).toBe(false)
    await expectOneKey(heard, ceremony, 'one is mute')
    await mesh.heal()
    await expectOneKey(cluster.nodes, ceremony, 'the mute one is heard again')
  })

  test('in a ring of one-way links somebody names the one it does not hear, and heals with it', {
    timeout: TEST_TIMEOUT_MS,
  }, async () => {
    const [proposer, ...others] = cluster.nodes as [TestNode, ...TestNode[]]
    const ceremony = await propose(proposer, 'ecies/ring')
    await Promise.all(others.map((node) => waitForStatus(node, ceremony, () => true)))
    const before = (node: TestNode): TestNode => cluster.node(node.index === 1 ? N : node.index - 1)
    const after = (node: TestNode): TestNode => cluster.node((node.index % N) + 1)
    /** It does not hear the one before it, and has no answer from the one that does not hear it. */
    const namesNeighbours = (node: TestNode, status: CeremonyStatus): boolean =>
      waitsFor(status, [before(node)]) || waitsFor(status, [before(node), after(node)])
    for (const node of cluster.nodes) await mesh.block(before(node).index, node.index)
    const named = Promise.any(
      cluster.nodes.map((node) => waitForStatus(node, ceremony, (status) => namesNeighbours(node, status))),
    )
    await Promise.all(others.map((node) => approve(node, ceremony)))
    await named
    await mesh.heal()
    await expectOneKey(cluster.nodes, ceremony, 'one-way ring')
  })
})

test('clocks that are two minutes wrong, both ways, change nothing', { timeout: TEST_TIMEOUT_MS }, async () => {
  const skew = fileURLToPath(new URL('../support/clock-skew.ts', import.meta.url))
  const skewMs = [120_000, -120_000, 0, 0]
  const launcher = (index: number): readonly string[] => [
    'env',
    `NODE_OPTIONS=--import=${skew}`,
    `TKMS_TEST_SKEW_MS=${skewMs[index - 1] ?? 0}`,
  ]
  const cluster = await createTestCluster({ n: N, t: T, launcher })
  try {
    await Promise.all(cluster.nodes.map((node) => node.start()))
    for (const proposer of cluster.nodes.slice(0, 2)) {
      const ceremony = await propose(proposer, `ecies/skewed-${proposer.index}`)
      const others = cluster.nodes.filter((node) => node !== proposer)
      await Promise.all(others.map((node) => approve(node, ceremony)))
      await expectOneKey(cluster.nodes, ceremony, `proposed by ${proposer.name}`)
    }
    const times = cluster.nodes.map((node) => lastLogTimeMs(node))
    expect((times[0] ?? 0) - (times[1] ?? 0)).toBeGreaterThan(200_000)
  } finally {
    await cluster.dispose()
  }
})

/** What the node thought the time was when it logged last, in Unix milliseconds. */
function lastLogTimeMs(node: TestNode): number {
  const line = JSON.parse(node.log().trim().split('\n').at(-1) ?? '{}') as { time?: number | string }
  return new Date(line.time ?? 0).getTime()
}

describe.skipIf(missing !== undefined)('in network namespaces', () => {
  let lab: NamespaceLab
  let cluster: TestCluster
  let proxies: ProxyHost

  beforeAll(async () => {
    lab = await createNamespaceLab(N)
    const at = (index: number): Namespace => lab.members[index - 1] ?? lab.hub
    const launcher = (index: number): readonly string[] => [
      ...at(index).launcher,
      'env',
      `TKMS_LISTEN=/ip4/${at(index).address}/tcp/${P2P_PORT}`,
    ]
    cluster = await createTestCluster({ n: N, t: T, launcher })
    proxies = await proxiesBehind(lab.hub.launcher, lab.hub.address)
    const mesh = await meshOf(cluster, proxies, ({ index }) => at(index).address)
    await lab.lose(0.1)
    await mesh.everywhere({ delayMs: DELAY_MS })
    await Promise.all(cluster.nodes.map((node) => node.start()))
  }, TEST_TIMEOUT_MS)
  afterAll(async () => {
    await cluster.dispose()
    await proxies.close()
    await lab.close()
  })

  test.for(['keygen', 'reshare'] as const)(
    'row 50: a %s ends in one key with 500 ms of delay and every tenth packet lost',
    {
      timeout: TEST_TIMEOUT_MS,
    },
    async (kind) => {
      const [proposer, ...others] = cluster.nodes as [TestNode, ...TestNode[]]
      const ceremony = await propose(proposer, 'ecies/lossy', kind)
      await Promise.all(others.map((node) => approve(node, ceremony)))
      const approvedMs = performance.now()
      await expectOneKey(cluster.nodes, ceremony, '500 ms, 10 % loss')
      // The protocol has six message delays: the faults were real.
      expect(performance.now() - approvedMs).toBeGreaterThan(5 * DELAY_MS)
    },
  )
})
