import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { PROGRAMS } from '@tkms/examples/programs'
import type { CeremonyStatus } from '@tkms/kms-node'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  approve,
  createTestCluster,
  makeKey,
  type TestCluster,
  type TestNode,
  waitForStatus,
} from '../support/node-cluster.ts'

/** Rows 31 and 32 with real processes: a data directory that is put back, and one that is copied. */

const NODE_PROGRAM = PROGRAMS['kms-node']
const TEST_TIMEOUT_MS = 120_000

interface KeyEntry {
  readonly keyName: string
  readonly epoch: number
  readonly role: string
  readonly serving: boolean
  readonly advice?: string
  readonly sharings: readonly unknown[]
}
const keysOf = async (node: TestNode): Promise<readonly KeyEntry[]> =>
  (await (await node.admin()).get('/keys')) as KeyEntry[]

let cluster: TestCluster
beforeAll(async () => {
  cluster = await createTestCluster({ n: 4, t: 2, environment: { TKMS_CEREMONY_RETIRE_GRACE_MS: '2000' } })
  await Promise.all(cluster.nodes.map((node) => node.start()))
  await makeKey(cluster.nodes, 'ecies/1')
}, TEST_TIMEOUT_MS)
afterAll(() => cluster?.dispose())

/** New shares of the key for the same committee. */
async function refresh(keyName: string): Promise<void> {
  const [first, ...others] = cluster.nodes
  if (first === undefined) throw new Error('no node')
  const proposed = (await (await first.admin()).post('/ceremonies', { kind: 'reshare', keyName })) as CeremonyStatus
  await Promise.all(others.map((node) => approve(node, proposed.ceremony)))
  await Promise.all(
    cluster.nodes.map((node) => waitForStatus(node, proposed.ceremony, ({ stage }) => stage === 'complete')),
  )
}

/** What the refusal tells the operator of `node` to do, and those of the nodes that it asks. */
async function repair(node: TestNode, keyName: string): Promise<void> {
  await cluster.run(['repair', keyName, '--data-dir', node.directory])
  const helpers = cluster.nodes.filter((other) => other !== node)
  await expect
    .poll(
      async () => {
        for (const helper of helpers) await approveRepairs(helper)
        return (await keysOf(node)).find((key) => key.keyName === keyName)?.serving
      },
      { timeout: 60_000, interval: 500 },
    )
    .toBe(true)
}

async function approveRepairs(helper: TestNode): Promise<void> {
  const admin = await helper.admin()
  const repairs = (await admin.get('/repairs')) as readonly { readonly id: string; readonly phase: string }[]
  for (const { id, phase } of repairs) if (phase === 'waiting') await admin.post(`/repairs/${id}/approve`, {})
}

describe('row 31', () => {
  test("yesterday's disk of one node is detected, its old share refused, and the refusal says how to recover", {
    timeout: TEST_TIMEOUT_MS,
  }, async () => {
    const node = cluster.node(4)
    await node.stop()
    const yesterday = join(cluster.directory, 'yesterday')
    await cp(node.directory, yesterday, { recursive: true })
    await node.start()
    await refresh('ecies/1')
    expect(await keysOf(node)).toMatchObject([{ epoch: 1, role: 'active', serving: true }])
    await node.stop()
    await rm(node.directory, { recursive: true })
    await rename(yesterday, node.directory)
    await node.start()
    const [key] = await keysOf(node)
    expect(key).toMatchObject({ epoch: 1, role: 'awaiting-repair', serving: false })
    expect(key?.advice).toContain(`repair ecies/1 --data-dir ${node.directory}`)
    expect(node.log()).toContain('disk-behind')
    const ready = await fetch(`${node.url}/ready`)
    expect([ready.status, await ready.json()]).toMatchObject([503, { error: { details: { problems: ['no-key'] } } }])
    await repair(node, 'ecies/1')
    await expect
      .poll(async () => (await keysOf(node))[0]?.sharings, { timeout: 60_000, interval: 500 })
      .toMatchObject([
        { epoch: 1, state: 'active' },
        { epoch: 0, state: 'erased' },
      ])
    for (const other of cluster.nodes.slice(0, 3))
      expect(await keysOf(other)).toMatchObject([{ epoch: 1, serving: true }])
  })
})

describe('erasing', () => {
  test('every node erases the epoch before when its grace is over, and knows who has', {
    timeout: TEST_TIMEOUT_MS,
  }, async () => {
    await makeKey(cluster.nodes, 'ecies/2')
    await refresh('ecies/2')
    for (const node of cluster.nodes)
      await vi.waitFor(
        async () => {
          const key = (await keysOf(node)).find(({ keyName }) => keyName === 'ecies/2')
          expect(key?.sharings).toMatchObject([
            { epoch: 1, state: 'active' },
            { epoch: 0, state: 'erased', notErased: [] },
          ])
        },
        { timeout: TEST_TIMEOUT_MS, interval: 250 },
      )
  })
})

describe('row 32', () => {
  test('a copy of a running node refuses to run, and the first one runs on', { timeout: TEST_TIMEOUT_MS }, async () => {
    const node = cluster.node(3)
    const copy = join(cluster.directory, 'copy')
    await cp(node.directory, copy, { recursive: true, filter: (path) => !path.endsWith('.sock') })
    const child = spawn(process.execPath, [NODE_PROGRAM, 'start', '--data-dir', copy], {
      env: {
        ...process.env,
        TKMS_LISTEN: '/ip4/127.0.0.1/tcp/0',
        TKMS_HTTP_PORT: '0',
        TKMS_SEALER_SCRYPT_LOG_N: '10',
        TKMS_ADMIN_SOCKET: join(copy, 'admin.sock'),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const printed: string[] = []
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => printed.push(chunk.toString()))
    const [code] = (await once(child, 'exit')) as [number | null]
    expect(code).toBe(1)
    expect(printed.join('')).toContain('duplicate-identity')
    expect((await keysOf(node))[0]).toMatchObject({ keyName: 'ecies/1', serving: true })
  })
})
