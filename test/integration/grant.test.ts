import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { PROGRAMS } from '@tkms/examples/programs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createTestCluster, makeKey, type TestCluster } from '../support/node-cluster.ts'

const execute = promisify(execFile)
let cluster: TestCluster
const path = (name: string): string => join(cluster.directory, name)
const tkms = async (...args: readonly string[]): Promise<string> =>
  (await execute(process.execPath, [PROGRAMS.tkms, ...args], { cwd: cluster.directory })).stdout.trim()

beforeAll(async () => {
  cluster = await createTestCluster({ n: 3, t: 2 })
  const issuer = await tkms('keygen', '--out', 'issuer.pem')
  const policy = `version: 1\nkeys:\n  '*':\n    rule: grant\n    issuers: ['${issuer}']\n`
  await Promise.all(cluster.nodes.map((node) => writeFile(join(node.directory, 'policy.yaml'), policy)))
  await Promise.all(cluster.nodes.map((node) => node.start()))
  await makeKey(cluster.nodes, 'ecies/1')
  await writeFile(path('cluster.json'), JSON.stringify(await cluster.file()))
}, 120_000)
afterAll(() => cluster.dispose())

it('a listed issuer lets one requester open one envelope, on the command line, and the audit log names the grant', async () => {
  const requester = await tkms('keygen', '--out', 'signer.pem')
  const recipient = await tkms('keygen', '--type', 'recipient', '--out', 'recipient.pem')
  await tkms('keygen', '--out', 'other.pem')
  await writeFile(path('secret.txt'), 'for whom it is granted\n')
  const shared = ['--cluster', 'cluster.json', '--json'] as const
  await tkms('encrypt', ...shared, 'secret.txt', '--out', 'secret.tkms')
  const to = ['--requester', requester, '--recipient', recipient] as const
  await tkms('grant', ...shared, '--signer', 'issuer.pem', ...to, 'secret.tkms', '--out', 'grant.bin')
  await tkms('grant', ...shared, '--signer', 'other.pem', ...to, 'secret.tkms', '--out', 'unlisted.bin')

  const asks = (signer: string, grant: string): readonly string[] => [
    'decrypt',
    ...shared,
    '--signer',
    signer,
    '--recipient-key',
    'recipient.pem',
    '--grant',
    grant,
    'secret.tkms',
  ]
  for (const refused of [asks('other.pem', 'grant.bin'), asks('signer.pem', 'unlisted.bin')])
    await expect(tkms(...refused)).rejects.toMatchObject({ stdout: expect.stringContaining('not-allowed') as unknown })
  await tkms(...asks('signer.pem', 'grant.bin'), '--out', 'opened.txt')
  expect(await readFile(path('opened.txt'), 'utf8')).toBe('for whom it is granted\n')

  const again = await tkms('grant', ...shared, '--signer', 'issuer.pem', ...to, 'secret.tkms', '--out', 'second.bin')
  const { grantId } = JSON.parse(again) as { readonly grantId: string }
  await tkms(...asks('signer.pem', 'second.bin'), '--out', 'second.txt')
  const logs = await Promise.all(
    cluster.nodes.map((node) => cluster.run(['audit', 'tail', '--data-dir', node.directory])),
  )
  const named = logs.filter((records) => JSON.stringify(records).includes(grantId))
  expect(named.length).toBeGreaterThanOrEqual(2)
}, 60_000)
