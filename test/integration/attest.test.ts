import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { PROGRAMS } from '@tkms/examples/programs'
import { bytesToHex } from '@noble/hashes/utils.js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { collateralFile } from '../../packages/kms-node/src/attest/collateral-cache.ts'
import { MINTED_MR_TD, mintChain } from '../../packages/kms-node/src/attest/minted-chain.fixture.ts'
import { createTestCluster, type TestCluster, type TestNode } from '../support/node-cluster.ts'

const chain = mintChain()
const clusterFile = (): string => join(cluster.node(1).directory, 'cluster.json')
const trustFile = (): string => join(cluster.directory, 'trust.yaml')
const collateral = (name: string): string => join(cluster.directory, name)

let cluster: TestCluster
beforeAll(async () => {
  cluster = await createTestCluster({ n: 3, t: 2, tls: true })
  await writeFile(join(cluster.directory, 'root.pem'), chain.rootPem)
  await writeFile(trustFile(), trust())
  await writeFile(
    collateral(collateralFile({ fmspc: chain.fmspc, ca: 'platform', tee: 'tdx' })),
    JSON.stringify(chain.collateral()),
  )
  const [alice, bob, carol] = cluster.nodes as [TestNode, TestNode, TestNode]
  await simulate(alice)
  await simulate(bob, { mrTd: 'c3'.repeat(48) })
  await Promise.all([alice, bob, carol].map((node) => node.start()))
})
afterAll(() => cluster.dispose())

const trust = (tcb = 'UpToDate'): string =>
  [
    'rootFile: root.pem',
    `tcbStatuses: [${tcb}]`,
    'collateral: {directory: .}',
    'allow:',
    `  - {name: released, mrTd: ${bytesToHex(MINTED_MR_TD)}}`,
  ].join('\n')

const simulateAgain = (node: TestNode): Promise<void> =>
  writeFile(join(node.directory, 'machine.json'), JSON.stringify(chain.simulatedFile()))

async function simulate(node: TestNode, td: { readonly mrTd?: string } = {}): Promise<void> {
  await writeFile(join(node.directory, 'machine.json'), JSON.stringify(chain.simulatedFile(td)))
  const file = join(node.directory, 'node.yaml')
  const settings = [
    'attestation:',
    '  provider: simulated',
    '  simulatedFile: machine.json',
    '  rootFile: ../root.pem',
    '  collateral: {directory: ..}',
    '  allow:',
    `    - {name: here, mrTd: ${bytesToHex(MINTED_MR_TD)}}`,
  ]
  await writeFile(file, `${await readFile(file, 'utf8')}\n${settings.join('\n')}\n`)
}

interface Row {
  readonly name: string
  readonly daysLeft?: number
}
interface Ended {
  readonly code: number
  readonly nodes: readonly Row[]
}

/** Runs `attest verify --json`. */
async function verify(...args: readonly string[]): Promise<Ended> {
  const read = (lines: readonly unknown[], code: number): Ended => ({
    code,
    ...(lines[0] as { nodes: readonly Row[] }),
  })
  try {
    return read(await cluster.run(['attest', 'verify', ...args, '--trust', trustFile()]), 0)
  } catch (cause) {
    const { stdout, code } = cause as { stdout: string; code: number }
    const lines = stdout.split('\n').filter((line) => line !== '')
    return read(
      lines.map((line) => JSON.parse(line) as unknown),
      code,
    )
  }
}

it('a cluster proves to somebody outside what runs on each node, and who does not', async () => {
  const accepted = { provider: 'simulated', verdict: 'accepted', measurement: 'released', tcbStatus: 'UpToDate' }
  const [alice, bob, carol] = cluster.nodes.map(({ name }) => name)
  expect(await verify(clusterFile())).toMatchObject({
    code: 1,
    nodes: [
      { name: alice, ...accepted, daysLeft: 29 },
      { name: bob, provider: 'simulated', verdict: 'refused', reason: 'measurement' },
      { name: carol, verdict: 'refused', reason: 'missing', detail: 'the node answers 503 no-attestation' },
    ],
  })
})

it('a node whose file of another cluster is asked about is refused: the proof is of its own', async () => {
  const file = join(cluster.directory, 'foreign.json')
  const known = JSON.parse(await readFile(clusterFile(), 'utf8')) as { clusterId: string }
  await writeFile(file, JSON.stringify({ ...known, clusterId: `0x${'11'.repeat(32)}` }))
  const { nodes } = await verify(file)
  expect(nodes[0]).toMatchObject({ verdict: 'refused', reason: 'report-data' })
})

it('all nodes proven is exit code 0; a cluster that a node names is not believed without a pin', async () => {
  const [, bob, carol] = cluster.nodes as [TestNode, TestNode, TestNode]
  await Promise.all([bob.stop(), carol.stop()])
  await simulateAgain(bob)
  await simulate(carol)
  await Promise.all([bob.start(), carol.start()])
  const { code, nodes } = await verify(clusterFile())
  expect(nodes).toMatchObject(cluster.nodes.map(({ name }) => ({ name, verdict: 'accepted' })))
  expect(code).toBe(0)
  const script = join(import.meta.dirname, '../../scripts/release-manifest.mjs')
  const { stdout: manifest } = await promisify(execFile)(process.execPath, [script])
  const { codeHash, version } = JSON.parse(manifest) as { readonly codeHash: string; readonly version: string }
  expect(nodes).toMatchObject(cluster.nodes.map(() => ({ codeHash, version })))
  const posture = { profile: 'development', sealing: 'passphrase', keys: [], certificatesHash: `0x${'00'.repeat(32)}` }
  expect(nodes).toMatchObject(cluster.nodes.map(() => ({ ...posture, curve: 'libsecp256k1' })))
  const args = [PROGRAMS['kms-node'], 'attest', 'verify', clusterFile(), '--trust', trustFile()]
  const [head = '', first = ''] = (await promisify(execFile)(process.execPath, args)).stdout.split('\n')
  const columns = (line: string): readonly string[] => line.split(/ {2,}/)
  expect(Object.fromEntries(columns(head).map((title, at) => [title, columns(first)[at]]))).toEqual({
    node: cluster.node(1).name,
    provider: 'simulated',
    measurement: 'released',
    TCB: 'UpToDate',
    'days left': '29',
    version,
    code: codeHash.slice(0, 14),
    profile: 'development',
    sealing: 'passphrase',
    curve: 'libsecp256k1',
    keys: 'none',
    certificates: `0x${'00'.repeat(6)}`,
    verdict: 'accepted',
  })
  const release = join(cluster.directory, 'release.json')
  await writeFile(release, manifest)
  expect(await verify(clusterFile(), '--release', release)).toMatchObject({ code: 0 })
  await writeFile(release, manifest.replace(codeHash, `0x${'11'.repeat(32)}`))
  const other = await verify(clusterFile(), '--release', release)
  expect(other).toMatchObject({ code: 1, nodes: cluster.nodes.map(() => ({ verdict: 'refused', reason: 'code' })) })
  await expect(cluster.run(['attest', 'verify', bob.url, '--trust', trustFile()])).rejects.toMatchObject({ code: 1 })
})

it('the operator sees what the own node proves, with what it says of itself', async () => {
  const [shown] = (await cluster.run(['attest', 'show', '--data-dir', cluster.node(1).directory])) as [object]
  expect(shown).toMatchObject({
    posture: {
      profile: 'development',
      sealing: 'passphrase',
      keys: [],
      certificatesHash: `0x${'00'.repeat(32)}`,
      attestation: {
        provider: 'simulated',
        measurement: { tee: 'tdx', mrTd: bytesToHex(MINTED_MR_TD) },
        allowedAs: 'here',
      },
    },
    provider: 'simulated',
    measurement: { tee: 'tdx', mrTd: bytesToHex(MINTED_MR_TD) },
    verdict: { kind: 'accepted', measurement: 'here' },
  })
})
