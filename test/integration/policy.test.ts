import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PROGRAMS } from '@tkms/examples/programs'
import { formatAuthorization, Secret } from '@tkms/dkg'
import { createEd25519Signer, createKmsClient, http } from '@tkms/kms-client'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { createTestCluster, makeKey, type TestCluster, type TestNode } from '../support/node-cluster.ts'

const MAIN = PROGRAMS['kms-node']
const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
const text = new TextEncoder().encode('for the owner')

let cluster: TestCluster
let alice: TestNode
let requestFile: string
beforeAll(async () => {
  cluster = await createTestCluster({ n: 3, t: 2 })
  await Promise.all(cluster.nodes.map((node) => node.start()))
  await makeKey(cluster.nodes, 'ecies/1')
  alice = cluster.node(1)
  const kms = await createKmsClient({ cluster: await cluster.file(), signer, transport: http() })
  const envelope = await kms.encrypt(text, { key: 'ecies/1', owners: [signer.publicKeyId] })
  const { authorization } = await kms.request(envelope)
  requestFile = join(cluster.directory, 'request.json')
  await writeFile(requestFile, JSON.stringify(formatAuthorization(authorization)))
})
afterAll(() => cluster.dispose())

interface Ran {
  readonly code: number
  readonly stdout: string
}
const run = (...args: readonly string[]): Promise<Ran> =>
  new Promise((resolve) => {
    const env = { TKMS_SEALER_SCRYPT_LOG_N: '10' }
    execFile(process.execPath, [MAIN, 'policy', ...args, '--data-dir', alice.directory], { env }, (error, stdout) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout }),
    )
  })
const policyFile = (): string => join(alice.directory, 'policy.yaml')
const hashOf = async (): Promise<string> =>
  `0x${createHash('sha256')
    .update(await readFile(policyFile()))
    .digest('hex')}`
const stateOf = async (): Promise<{ inForce: { sha256: string }; refused?: { problems: string[] } }> =>
  (await (await alice.admin()).get('/policy')) as Awaited<ReturnType<typeof stateOf>>

it('an operator sees which rule refuses a request, changes the file, and the running node follows it', async () => {
  const explained = await run('explain', '--request', requestFile)
  expect(explained.code).toBe(0)
  expect(explained.stdout).toContain(`would be answered: ${signer.publicKeyId} asks for ecies/1`)
  expect(explained.stdout).toContain('item 1: answered')
  expect(alice.log()).toContain('delegation explained')
  expect(alice.log()).not.toContain('delegation answered')

  const strict = `version: 1\nkeys:\n  '*':\n    all:\n      - rule: owner\n      - rule: token\n        sha256: ['${'00'.repeat(32)}']\n`
  await writeFile(policyFile(), strict)
  expect(await run('check', '--json')).toMatchObject({ code: 0, stdout: expect.stringContaining('"ok":true') })
  await vi.waitFor(async () => expect((await stateOf()).inForce.sha256).toBe(await hashOf()), 20_000)
  const refused = JSON.parse((await run('explain', '--request', requestFile, '--json')).stdout) as unknown
  const rules = {
    says: 'no',
    all: [
      { rule: 'owner', says: 'yes' },
      { rule: 'token', says: 'no', reason: 'no-token' },
    ],
  }
  expect(refused).toMatchObject({ allowed: false, items: [{ code: 'not-allowed', headerProof: 'valid', rules }] })

  const inForce = await hashOf()
  await writeFile(policyFile(), strict.replace('rule: owner', 'rule: everybody'))
  process.kill(alice.pid, 'SIGHUP')
  await vi.waitFor(async () => expect((await stateOf()).refused?.problems).toHaveLength(1), 20_000)
  const wrong = await run('check', '--json')
  expect([wrong.code, JSON.parse(wrong.stdout)]).toMatchObject([1, { error: { code: 'bad-config-file' } }])
  expect(await stateOf()).toMatchObject({ inForce: { sha256: inForce } })
  expect(await (await alice.admin()).get('/status')).toMatchObject({ policy: { inForce: { sha256: inForce } } })
  expect(alice.log()).toContain('policy-refused')

  const nowhere = await run('check', join(cluster.directory, 'none.yaml'), '--json')
  expect(nowhere.code).toBe(1)
  expect(nowhere.stdout).toMatch(/none\.yaml does not exist"/)
  await writeFile(policyFile(), `version: 1\nkeys:\n  '*': { envelopes: v1, rule: owner }\n`)
  expect((await run('check')).stdout).toMatch(/is right \(.* profile\)\n {2}but keys\.\*: never says yes/)

  const missing = await run('explain', '--request', join(cluster.directory, 'none.json'), '--json')
  expect([missing.code, JSON.parse(missing.stdout)]).toMatchObject([1, { error: { code: 'config-missing' } }])
})
