import { readdir } from 'node:fs/promises'
import { Secret } from '@tkms/dkg'
import { createEd25519Signer, createKmsClient, http } from '@tkms/kms-client'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { createTestCluster, makeKey, type TestCluster } from '../support/node-cluster.ts'
import { hasProc } from '../support/processes.ts'

const KEY = 'ecies/threads'
const ENVELOPES = 24
const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))

let cluster: TestCluster
beforeAll(async () => {
  cluster = await createTestCluster({ n: 3, t: 2, environment: { TKMS_SERVING_WORKERS: '2' } })
  await Promise.all(cluster.nodes.map((node) => node.start()))
  await makeKey(cluster.nodes, KEY)
})
afterAll(() => cluster.dispose())

const threadsOf = async (pid: number): Promise<number> => (await readdir(`/proc/${pid}/task`)).length

it.skipIf(!hasProc)('a node computes on threads of its own once many items wait, and ends with them', async () => {
  const kms = await createKmsClient({ cluster: await cluster.file(), signer, transport: http() })
  const texts = Array.from({ length: ENVELOPES }, (_, at) => `number ${at}`)
  const sealed = await Promise.all(
    texts.map((text) => kms.encrypt(new TextEncoder().encode(text), { key: KEY, owners: [signer.publicKeyId] })),
  )
  const open = async (): Promise<readonly string[]> => {
    const opened: string[] = []
    for await (const outcome of kms.decryptMany(sealed)) {
      if ('error' in outcome) throw outcome.error
      opened[outcome.position] = new TextDecoder().decode(outcome.plaintext)
    }
    return opened
  }
  const [node] = cluster.nodes
  if (node === undefined) throw new Error('three nodes were made')
  const before = await threadsOf(node.pid)
  await vi.waitFor(
    async () => {
      expect(await open()).toEqual(texts)
      expect((await threadsOf(node.pid)) - before).toBeGreaterThanOrEqual(2)
    },
    { timeout: 20_000 },
  )
  // Now that the threads are there, they do the work.
  expect(await open()).toEqual(texts)
  expect(await Promise.all(cluster.nodes.map((each) => each.stop()))).toEqual([0, 0, 0])
  expect(cluster.nodes.map((each) => each.log()).join('')).not.toContain('compute-thread-lost')
})
